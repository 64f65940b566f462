"""The alerts: Prometheus reads them, each fires and is silent when it should be, and asks for what is measured."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.promtool import needs_promtool, promtool

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "monitoring" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
METRICS = ROOT / "docs" / "operations" / "metrics.md"
KINDS = {("critical", "symptom"), ("critical", "cause"), ("warning", "symptom"), ("warning", "cause")}


def read(files: list[Path], key: str) -> list[dict[str, Any]]:
    return [entry for file in files for entry in yaml.safe_load(file.read_text())[key]]


ALL = [rule for group in read(RULES, "groups") for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in ALL if "alert" in rule}


@needs_promtool
def test_promtool_finds_no_fault_with_them() -> None:
    assert promtool("check", "rules", *RULES) == ""


@needs_promtool
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_they_do_as_their_tests_say(file: Path) -> None:
    assert promtool("test", "rules", file) == ""


def test_each_alert_is_tested_to_fire_and_to_keep_silent() -> None:
    asked = [case for test in read(TESTS, "tests") for case in test.get("alert_rule_test", ())]
    assert {case["alertname"] for case in asked if case.get("exp_alerts")} == set(ALERTS)
    assert {case["alertname"] for case in asked if not case.get("exp_alerts")} == set(ALERTS)


def test_no_two_are_called_the_same() -> None:
    assert len(ALERTS) == sum("alert" in rule for rule in ALL)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_says_how_bad_it_is_what_is_wrong_and_where_to_read_on(alert: str) -> None:
    labels, annotations = ALERTS[alert]["labels"], ALERTS[alert]["annotations"]
    assert (labels["severity"], labels["kind"]) in KINDS
    assert annotations["summary"].endswith(".")
    assert re.search(r"\. First: `[^`]+`$", annotations["description"])
    assert annotations["runbook_url"] == f"{{{{ $externalURL }}}}/user/alerts/{alert}.md"


def test_prometheus_itself_serves_the_pages_that_they_name() -> None:
    prometheus = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["prometheus"]
    (folder,) = [option.partition("=")[2] for option in prometheus["command"] if "--web.user-assets" in option]
    assert f"./docs/operations:{folder}:ro" in prometheus["volumes"]


def test_a_cause_that_wakes_somebody_outlasts_a_restart_and_lasts_until_what_it_explains_is_over() -> None:
    waits = {
        alert: (rule.get("for"), "keep_firing_for" in rule)
        for alert, rule in ALERTS.items()
        if rule["labels"] == {"severity": "critical", "kind": "cause"}
    }
    # The last comes after PlannerWorkersGone, from which it may follow, and before the backlog is old.
    assert waits == dict.fromkeys(waits, ("1m", True)) | {"PlannerQueueNotConsumed": ("2m", True)}


def test_the_metrics_they_ask_for_exist() -> None:
    asked = {name for rule in ALL for name in re.findall(r"\bplanner[\w:]+", rule["expr"])}
    there = dict(re.findall(r"^\| `(planner_\w+)` \| (\w+) \|", METRICS.read_text(), re.MULTILINE))
    samples = {
        name + ending
        for name, kind in there.items()
        for ending in (("_bucket", "_count", "_sum") if kind == "histogram" else ("",))
    }
    recorded = {rule["record"] for rule in ALL if "record" in rule}
    assert samples & asked
    assert asked - samples - recorded == set()
