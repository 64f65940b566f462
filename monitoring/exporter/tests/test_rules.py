"""The alerts: Prometheus reads them, each fires and is silent when it should be, and asks for what is measured."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from planner_common.settings import Settings
from planner_exporter.__main__ import Exporter

PROMETHEUS = Path(__file__).parents[2] / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
PROMTOOL = shutil.which("promtool")


def read(files: list[Path], key: str) -> list[dict[str, Any]]:
    return [entry for file in files for entry in yaml.safe_load(file.read_text())[key]]


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool (Debian has it in the package prometheus)")
@pytest.mark.parametrize(("what", "files"), [("check", RULES), ("test", TESTS)])
def test_promtool_agrees(what: str, files: list[Path]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, what, "rules", *files], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_to_fire_and_to_keep_silent() -> None:
    alerts = {rule["alert"] for group in read(RULES, "groups") for rule in group["rules"]}
    asked = [case for test in read(TESTS, "tests") for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in asked if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in asked if not case.get("exp_alerts")} == alerts


def test_the_metrics_they_ask_for_exist(settings: Settings) -> None:
    asked = {
        name
        for group in read(RULES, "groups")
        for rule in group["rules"]
        for name in re.findall(r"planner_\w+", rule["expr"])
    }
    exporter = Exporter(settings)
    try:
        there = {family.name for family in exporter.registry.collect()}
    finally:
        exporter.thread.shutdown()
        exporter.redis.close()
        exporter.engine.dispose()
    assert asked
    assert asked - there == set()
