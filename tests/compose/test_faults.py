"""Whatever dies comes back by itself, and nobody misses a notification for it."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from planner_local.client import ApiError, Person

from tests.compose.conftest import Join
from tests.compose.stack import (
    LASTING,
    compose,
    execute,
    is_healthy,
    kill_main_process,
    python,
    restarts,
    until,
)
from tests.system import Outside

SCRAPE = (
    "import urllib.request, urllib.error\n"
    "try: print(urllib.request.urlopen('http://127.0.0.1:9808/metrics', timeout=5).status)\n"
    "except urllib.error.HTTPError as error: print(error.code)"
)


async def invite(organizer: Person, guest: Person, seconds: float = 60) -> str:
    """The title of a new event that the guest is invited to.

    While the API is away it is tried again, as people do; under another title, for the first may exist all the same.
    """
    event = {
        "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
        "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
        "participants": [{"email": guest.email}],
    }
    async with asyncio.timeout(seconds):
        while True:
            title = f"Dinner {secrets.token_hex(4)}"
            try:
                await organizer.call("POST", "/events", json=event | {"title": title})
            except httpx.TransportError:
                pass
            except ApiError as error:
                if error.status != httpx.codes.SERVICE_UNAVAILABLE:
                    raise
            else:
                return title
            await asyncio.sleep(0.2)


async def told(guest: Person, titles: set[str], seconds: float = 60) -> None:
    """Wait until each of these events is in the guest's inbox. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                inbox = [item["event"]["title"] async for item in guest.items("/notifications")]
            except (httpx.TransportError, ApiError):
                inbox = []
            if titles <= set(inbox):
                assert len(inbox) == len(set(inbox)), "told twice"
                return
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("service", LASTING)
async def test_a_killed_service_comes_back(service: str, planner: Outside, ann: Person, bob: Person) -> None:
    """`kill -9` its main process: the restart policy starts it again, and what was created meanwhile is told."""
    before = restarts(service)
    await asyncio.to_thread(kill_main_process, service)
    title = await invite(ann, bob)
    await told(bob, {title})
    await asyncio.to_thread(
        until, lambda: restarts(service) == before + 1 and is_healthy(service), f"{service} is back"
    )
    assert planner.faults() == (0, 0, 0)


async def test_a_worker_killed_at_work_costs_nothing(planner: Outside, ann: Person, bob: Person) -> None:
    titles = {await invite(ann, bob) for _ in range(30)}
    await asyncio.to_thread(kill_main_process, "worker")
    titles |= {await invite(ann, bob) for _ in range(30)}
    await told(bob, titles)
    assert planner.faults() == (0, 0, 0)
    await asyncio.to_thread(until, lambda: is_healthy("worker"), "worker is back")


async def test_flushing_redis_loses_nothing(planner: Outside, ann: Person, bob: Person) -> None:
    titles = set()
    for number in range(60):
        titles.add(await invite(ann, bob))
        if number % 20 == 10:
            assert await asyncio.to_thread(execute, "redis", "redis-cli", "FLUSHALL") == "OK\n"
    await told(bob, titles)
    assert planner.faults() == (0, 0, 0)


@contextmanager
def without(service: str, away: str = "stop", back: str = "start") -> Iterator[None]:
    compose(away, service)
    try:
        yield
    finally:
        compose(back, service)
        until(lambda: is_healthy(service), f"{service} is back")


@pytest.mark.parametrize(("away", "back"), [("stop", "start"), ("pause", "unpause")], ids=["stopped", "frozen"])
async def test_without_redis_requests_succeed_and_the_exporter_does_not_lie(
    away: str, back: str, planner: Outside, http: httpx.AsyncClient, join: Join
) -> None:
    """Then Redis comes back and everybody is told."""
    with without("redis", away, back):
        ann = await join("Ann")
        bob = await join("Bob")
        titles = {await invite(ann, bob) for _ in range(10)}
        assert {item["title"] async for item in ann.items("/events")} == titles
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert "cache" in ready.json()["degraded"]
        assert python("exporter", SCRAPE) == "500\n"
        assert is_healthy("api"), "an outage elsewhere is no illness"
        assert is_healthy("worker")
    await told(bob, titles)
    assert planner.faults() == (0, 0, 0)


async def test_without_postgresql_the_api_says_so_and_goes_on(
    planner: Outside, http: httpx.AsyncClient, ann: Person, bob: Person
) -> None:
    with without("postgres"):
        with pytest.raises(ApiError) as refused:
            await ann.call("GET", "/me")
        assert refused.value.status == 503
        assert refused.value.problem["status"] == 503
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/livez")).status_code == 200
    await told(bob, {await invite(ann, bob)})
    assert planner.faults() == (0, 0, 0)
