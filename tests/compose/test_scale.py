"""Several workers and dispatchers at once, and the monitoring that sees each of them."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from planner_local.client import Person

from tests.compose.stack import compose, containers, execute, is_healthy, until
from tests.system import Outside

PROMETHEUS = f"http://127.0.0.1:{os.environ.get('PROMETHEUS_PORT', '9090')}"
MONITORING = ("prometheus", "alertmanager")


@pytest.fixture(scope="module", autouse=True)
def scaled() -> Iterator[None]:
    """`--scale worker=3 --scale dispatcher=2`, and what of the profile runs without an account elsewhere."""
    many = ["--scale", "worker=3", "--scale", "dispatcher=2"]
    compose("up", "--detach", "--wait", *many)
    compose("--profile", "monitoring", "up", "--detach", "--wait", *MONITORING)
    yield
    compose("--profile", "monitoring", "rm", "--stop", "--force", *MONITORING, "alerting")
    compose("up", "--detach", "--wait")


def test_all_replicas_are_healthy() -> None:
    assert {service: len(containers(service)) for service in ("worker", "dispatcher")} == {"worker": 3, "dispatcher": 2}
    assert is_healthy("worker")
    assert is_healthy("dispatcher")
    said = execute("worker", "celery", "-A", "planner_worker.app", "inspect", "ping")
    assert "3 nodes online" in said


async def test_they_share_the_work(planner: Outside, ann: Person, bob: Person) -> None:
    """Each is told once, although two dispatchers claim and three workers write."""
    event = {
        "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
        "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
        "participants": [{"email": bob.email}],
    }
    titles = [f"Dinner {secrets.token_hex(4)}" for _ in range(100)]
    for title in titles:
        await ann.call("POST", "/events", json=event | {"title": title})
    assert planner.faults() == (0, 0, 0)
    assert Counter([item["event"]["title"] async for item in bob.items("/notifications")]) == Counter(titles)


def targets() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{PROMETHEUS}/api/v1/targets", trust_env=False).json()["data"][
        "activeTargets"
    ]
    return found


def test_prometheus_sees_every_process() -> None:
    expected = Counter(api=1, worker=3, dispatcher=2, exporter=1, canary=1, flower=1, prometheus=1, alertmanager=1)

    def all_up() -> bool:
        return Counter(one["labels"]["job"] for one in targets() if one["health"] == "up") == expected

    try:
        until(all_up, "all targets are up", 90)
    except TimeoutError:
        pytest.fail("\n".join(f"{one['scrapeUrl']}: {one['health']} {one['lastError']}" for one in targets()))


def test_prometheus_counts_what_happens() -> None:
    def sample(query: str) -> float:
        answer = httpx.get(f"{PROMETHEUS}/api/v1/query", params={"query": query}, trust_env=False).json()
        return float(answer["data"]["result"][0]["value"][1]) if answer["data"]["result"] else 0

    until(lambda: sample("sum(planner_notifications_written_total)") >= 100, "the notifications are counted", 60)
    until(lambda: sample("sum(planner_http_requests_total)") >= 100, "the requests are counted", 60)
    assert sample("count(planner_queue_depth)") > 0
