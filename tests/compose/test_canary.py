"""The canary of a Compose stack arrives."""

import re

from tests.compose.stack import python, until

SCRAPE = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9809/metrics', timeout=5).read().decode())"


def told() -> float:
    [number] = re.findall(r'^planner_canary_runs_total{outcome="told"} (.*)$', python("canary", SCRAPE), re.MULTILINE)
    return float(number)


def test_canaries_arrive() -> None:
    until(lambda: told() > 0, "a canary arrives")
