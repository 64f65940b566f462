"""Prometheus reaches everything there is, its rules are loaded, and promtool finds no fault with any of it."""

import re
import subprocess

import pytest
import yaml

from tests.compose.stack import compose, python
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


def test_every_rule_is_loaded_and_evaluates() -> None:
    written = [
        rule.get("alert") or rule["record"]
        for file in sorted((scale.SOURCE / "rules").glob("*.yml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]
    rules = asking.rules()
    assert sorted(rule["name"] for rule in rules) == sorted(written)
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}


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
