"""Prometheus' configuration for tests: as it is, but with shorter waits, so that an outage is noticed in seconds.

`python -m tests.monitoring.scale FACTOR FOLDER` writes a copy of monitoring/prometheus to FOLDER. With it Prometheus
scrapes every two seconds, evaluates each second, and everything that a rule says about time is divided by FACTOR: how
long (`for`, ranges such as `[5m]`), and from how many seconds on.
"""

import re
import shutil
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "monitoring" / "prometheus"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
DURATION = re.compile(r"(\d+)(ms|s|m|h|d|w)")
SHORTEST_RANGE = 6
"""Seconds: a range has to hold several samples."""
OFTEN = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s", "refresh_interval": "1s"}
"""A target gets two seconds to answer in, for a machine that has other things to do."""

WAITS = re.compile(r"(?P<before>^\s*(?:for|keep_firing_for|interval): *)(?P<duration>[0-9smhdw]+)\b", re.MULTILINE)
RANGES = re.compile(r"(?P<before>[\[:])(?P<duration>[0-9smhdw]+)(?=[]:])")
OFFSETS = re.compile(r"(?P<before>\boffset +)(?P<duration>[0-9smhdw]+)\b")
AGES = re.compile(r"(?P<before>_seconds(?:\{[^}]*\})?\)* *(?:[<>]=?) *)(?P<seconds>[0-9.]+)\b")
INTERVALS = re.compile(rf"\b(?P<name>{'|'.join(OFTEN)}): *\w+")


def seconds_of(duration: str) -> float:
    """What Prometheus takes `1h30m` for."""
    return sum(int(number) * UNITS[unit] for number, unit in DURATION.findall(duration))


def scaled(rules: str, factor: float) -> str:
    """The rules, with times divided by it. By 1 they are what they were."""

    def shorter(found: re.Match[str], least: int) -> str:
        seconds = seconds_of(found["duration"])
        return f"{found['before']}{max(round(seconds / factor), min(least, round(seconds)))}s"

    if factor == 1:
        return rules
    rules = WAITS.sub(lambda found: shorter(found, 1), rules)
    rules = OFFSETS.sub(lambda found: shorter(found, 1), rules)
    rules = RANGES.sub(lambda found: shorter(found, SHORTEST_RANGE), rules)
    return AGES.sub(lambda found: f"{found['before']}{float(found['seconds']) / factor:g}", rules)


def write(factor: float, folder: Path) -> None:
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        INTERVALS.sub(lambda found: f"{found['name']}: {OFTEN[found['name']]}", configuration.read_text())
    )
    for file in (folder / "rules").glob("*.yml"):
        file.write_text(scaled(file.read_text(), factor))


if __name__ == "__main__":
    write(float(sys.argv[1]), Path(sys.argv[2]))
