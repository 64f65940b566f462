"""The shortened rules are the rules, but shorter."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.monitoring.scale import OFTEN, SOURCE, scaled, seconds_of, write

PROMTOOL = shutil.which("promtool")
RULES = sorted((SOURCE / "rules").glob("*.yml"))


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_by_one_they_are_what_they_were(file: Path) -> None:
    assert scaled(file.read_text(), 1) == file.read_text()


def test_times_are_divided_and_nothing_else() -> None:
    rule = """
    - alert: X
      expr: |
        max by (work) (planner_oldest_seconds{work!="bulk"}) > 90 and rate(planner_x_total[1h30m:1m] offset 5m) > 90
        and sum(rate(planner_seconds_bucket{le="0.5"}[5m])) > 14.4 * 0.01 and time() - max(planner_at_seconds) >= 60
        or delta(planner_dead[15s]) > 0 or planner:errors:ratio_rate5m > 60
      for: 2m
      keep_firing_for: 5s
    """
    expected = """
    - alert: X
      expr: |
        max by (work) (planner_oldest_seconds{work!="bulk"}) > 9 and rate(planner_x_total[540s:6s] offset 30s) > 90
        and sum(rate(planner_seconds_bucket{le="0.5"}[30s])) > 14.4 * 0.01 and time() - max(planner_at_seconds) >= 6
        or delta(planner_dead[6s]) > 0 or planner:errors:ratio_rate5m > 60
      for: 12s
      keep_firing_for: 1s
    """
    assert scaled(rule, 10) == expected


def test_a_duration_is_read_as_prometheus_does() -> None:
    assert [seconds_of(text) for text in ("1h30m", "15s", "1d", "500ms")] == [5400, 15, 86400, 0.5]


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_no_wait_is_left_as_it_was(file: Path) -> None:
    """Whatever way of writing a rule comes up, `scaled` knows it."""
    long = r"(?<![\w:])\d+[mhd]\b"
    for group in yaml.safe_load(scaled(file.read_text(), 10))["groups"]:
        for rule in group["rules"]:
            assert not re.findall(long, f"{rule['expr']} {rule.get('for')} {rule.get('keep_firing_for')}"), rule


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool (Debian has it in the package prometheus)")
def test_promtool_takes_them(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    write(10, tmp_path)
    files = [str(file) for file in (tmp_path / "rules").glob("*.yml")]
    done = subprocess.run([PROMTOOL, "check", "rules", *files], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    configuration = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    assert {name: configuration["global"].get(name, often) for name, often in OFTEN.items()} == OFTEN
