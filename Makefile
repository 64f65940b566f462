# What developers, CI and newcomers run. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := common api worker monitoring/exporter local
LOCKS := api worker exporter dev bench

.DEFAULT_GOAL := help
.PHONY: help install lock lint format test faults up demo audit backup restore bench bench-compare compose-test monitoring-test clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(VENV)/.installed: requirements/dev.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Planner needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Name another: make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix --editable ,$(PACKAGES))
	@touch $@

install: $(VENV)/.installed ## Make .venv with everything, locked

lock: $(VENV)/.installed ## Renew requirements/*.txt (UPGRADE=1 takes new versions)
	@for name in $(LOCKS); do PATH="$(abspath $(BIN)):$$PATH" requirements/lock $$name $(if $(UPGRADE),--upgrade); done

lint: install ## ruff, mypy --strict, the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: install ## Every suite that needs no Docker
	$(BIN)/pytest -n 2

faults: install ## Minutes of kills and outages under load, then the proof that nothing was lost (SECONDS=300 SEED=1, or SEEDS=1-20)
	@$(BIN)/python -m tests.faults.$(if $(SEEDS),campaign --seeds $(SEEDS),run --seed $(or $(SEED),1)) --seconds $(or $(SECONDS),300)

$(VENV)/.bench-installed: $(VENV)/.installed requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/bench.txt
	@touch $@

bench: $(VENV)/.bench-installed ## Planner beside its limits and its peers, in turns (ONLY=fanout, SMOKE=1); half an hour on a quiet machine
	@$(BIN)/python -m bench $(ONLY) $(if $(SMOKE),--smoke)

bench-compare: $(VENV)/.bench-installed ## The benchmarks as of another revision and as of now, in turns (BASE=main ONLY=ingest)
	@$(BIN)/python -m bench.compare $(BASE) $(ONLY) $(if $(SMOKE),--smoke)

compose-test: install ## The acceptance tests and those of the containers, against a Compose stack of its own (Docker)
	tests/compose/run

monitoring-test: install ## Prometheus, Alertmanager, every rule and dashboard against a Compose stack of its own, with outages (Docker)
	tests/compose/run --monitoring

up: install ## Run everything on this machine, without Docker, until Ctrl-C
	@$(BIN)/python -m planner_local up

demo: install ## Import a calendar and watch its people being told (CALENDAR=file.ics for one of yours)
	@$(BIN)/python -m planner_local demo $(if $(CALENDAR),"$(CALENDAR)")

audit: install ## Check in the stack of `make up` that everyone was told, once
	@$(BIN)/python -m planner_local run planner audit

backup: install ## Write a backup of the database of `make up` (FILE=planner.dump; Compose: docker/backup)
	@$(BIN)/python -m planner_local backup $(if $(FILE),"$(FILE)")

restore: install ## Put a backup in its place, and send nothing twice (FILE=planner.dump; Compose: docker/restore)
	@$(if $(FILE),$(BIN)/python -m planner_local restore "$(FILE)",$(error Which one? make restore FILE=planner.dump))

clean: ## Delete the data of `make up`, .venv and all caches; refuses while it runs
	@if [ -x $(BIN)/python ] && [ -e .local ]; then $(BIN)/python -m planner_local clean; fi
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
