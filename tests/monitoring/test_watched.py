"""Prometheus reaches everything there is, its rules are loaded, and promtool finds no fault with any of it."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.compose.stack import compose, python, until
from tests.monitoring import asking, scale
from tests.monitoring.conftest import JOBS, failures, jobs_up

pytestmark = [pytest.mark.compose, pytest.mark.usefixtures("watched")]

ENDPOINTS = {
    "api": 9101,
    "worker": 9102,
    "dispatcher": 9103,
    "exporter": 9808,
    "canary": 9809,
    "flower": 9104,
}


def promtool(command: str, seconds: float = 120) -> str:
    """Run it in Prometheus' container, where its files are."""
    shell = f"cd /etc/prometheus && {command} 2>&1"
    return compose("exec", "--no-TTY", "prometheus", "sh", "-c", shell, timeout=seconds)


def test_every_target_is_up() -> None:
    assert jobs_up() == JOBS, failures()


WRITTEN: list[dict[str, Any]] = [
    rule
    for file in sorted((scale.SOURCE / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
SILENT = ("planner:slo_burning:fast", "planner:slo_burning:slow")
"""What is recorded only while something is wrong."""


def test_every_rule_is_loaded_and_evaluates() -> None:
    rules = asking.rules()
    assert sorted(rule["name"] for rule in rules) == sorted(rule.get("alert") or rule["record"] for rule in WRITTEN)
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}


@pytest.mark.parametrize("name", sorted({rule["record"] for rule in WRITTEN if "record" in rule} - {*SILENT}))
def test_what_is_recorded_is_there(name: str) -> None:
    until(lambda: bool(asking.query(name)), f"{name} is recorded")
    assert [labels for labels, number in asking.query(name) if not number >= 0] == []


def test_prometheus_tells_alertmanager() -> None:
    assert asking.alertmanagers() == ["http://alertmanager:9093/api/v2/alerts"]


def test_configuration_and_rules_are_clean() -> None:
    """Those of the tests, which run; those of the tree are checked and tested by exporter/tests/test_rules.py too."""
    said = promtool("promtool check config prometheus.yml && promtool check rules rules/*.yml")
    assert "FAILED" not in said
    assert said.count("SUCCESS") >= 2


def test_the_rules_keep_to_their_tests() -> None:
    """As they are in the tree, unscaled."""
    said = promtool("promtool test rules /tree/tests/*.yml", 280)
    assert "FAILED" not in said
    assert "SUCCESS" in said


@pytest.mark.parametrize(("service", "port"), ENDPOINTS.items())
def test_what_services_say_is_well_formed(service: str, port: int) -> None:
    """`promtool check metrics` of the page that is scraped. Flower's names are its own."""
    url = f"http://{service}:{port}/metrics"
    page = python(service, f"import urllib.request as r; print(r.urlopen('{url}').read().decode())")
    assert service == "flower" or re.search(r"^planner_", page, re.MULTILINE)
    command = ["docker", "compose", "exec", "--no-TTY", "prometheus", "promtool", "check", "metrics"]
    done = subprocess.run(command, check=False, input=page, capture_output=True, text=True)
    faults = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("flower_")]
    assert faults == []
    assert done.returncode == 0 or service == "flower"
