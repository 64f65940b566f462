"""Tests of what operators look at, against the stack that `tests/compose/run --monitoring` brought up."""

import os
from collections import Counter

import pytest

from tests.compose.conftest import pytest_terminal_summary  # noqa: F401  # what the services said, after a failure
from tests.compose.stack import until
from tests.monitoring import asking

JOBS = Counter(
    ["api", "worker", "dispatcher", "exporter", "canary", "flower", "prometheus", "alertmanager"],
)


def jobs_up() -> Counter[str]:
    return Counter(target["labels"]["job"] for target in asking.targets() if target["health"] == "up")


def failures() -> str:
    return "\n".join(f"{one['scrapeUrl']}: {one['health']} {one['lastError']}" for one in asking.targets())


@pytest.fixture(scope="session")
def watched() -> None:
    """Prometheus reaches everything, and nothing is wrong."""
    assert "PLANNER_URL" in os.environ, "make monitoring-test"
    try:
        until(lambda: jobs_up() == JOBS, "all targets are up", 90)
    except TimeoutError as error:
        pytest.fail(f"{error}\n{failures()}")
