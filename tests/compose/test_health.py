"""Health checks run every ten seconds in each container, for ever: they must cost nothing worth mentioning."""

import re
import shlex

import pytest

from tests.compose.stack import LASTING, compose, containers, execute, is_healthy, until

TIMES = 20
CPU_SECONDS = 0.05
"""What one check may take of a processor."""


def cost(service: str) -> float:
    """Of one check, in seconds of CPU. Of a few runs the best: others use the machine's caches too."""
    until(lambda: is_healthy(service), f"{service} is healthy")
    [container, *_] = containers(service)
    kind, *command = container["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    loop = f"i=0; while [ $i -lt {TIMES} ]; do {shlex.join(command)} >/dev/null || exit 1; i=$((i+1)); done; times"
    found = []
    for _ in range(3):
        children = execute(service, "sh", "-c", loop).splitlines()[-1]
        times = re.findall(r"(\d+)m([\d.]+)s", children)
        found.append(sum(60 * int(minutes) + float(seconds) for minutes, seconds in times) / TIMES)
    return min(found)


@pytest.mark.parametrize("service", LASTING)
def test_a_check_costs_little(service: str) -> None:
    seconds = cost(service)
    print(f"{service}: {seconds * 1000:.1f} ms of CPU for a health check")  # noqa: T201
    assert seconds < CPU_SECONDS


def test_so_do_those_of_the_monitoring() -> None:
    watching = ("prometheus", "alertmanager")
    compose("--profile", "monitoring", "up", "--detach", "--wait", *watching)
    try:
        for service in watching:
            test_a_check_costs_little(service)
    finally:
        compose("--profile", "monitoring", "rm", "--stop", "--force", *watching)
