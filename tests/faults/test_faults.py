"""Whatever dies or goes away, and whenever: everyone is told, once, and writes go on while PostgreSQL is there."""
# ruff: noqa: ASYNC110  # what another process does can only be polled for

import asyncio
import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from planner_local.client import ApiError, Person
from redis import Redis

from tests.system import System, until

pytestmark = pytest.mark.skipif("PLANNER_URL" in os.environ, reason="the processes of that system are not ours to kill")

Join = Callable[..., Awaitable[Person]]
SECONDS = 60
WORKING = """
    SELECT pid FROM pg_stat_activity
     WHERE application_name = 'planner-worker' AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO notifications%'
"""


@pytest.fixture
def system(planner: System) -> Iterator[System]:
    """The system; after the test it must be whole, with all told and nothing told twice."""
    yield planner
    for name in ("api", "dispatcher", "worker"):
        assert planner.pid(name) is not None, f"{name} is not running:\n{planner.log(name)}"
    assert planner.faults() == (0, 0, 0)


@pytest.fixture(scope="module")
async def ann(join: Join) -> Person:
    """The organizer."""
    return await join("Ann")


@pytest.fixture(scope="module")
async def ben(join: Join) -> Person:
    return await join("Ben")


def dinner(*guests: str) -> dict[str, Any]:
    return {
        "title": f"Dinner {secrets.token_hex(4)}",
        "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
        "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
        "participants": [{"email": guest} for guest in guests],
    }


async def make(organizer: Person, *guests: str) -> str:
    """The id of a new event."""
    event_id: str = (await organizer.call("POST", "/events", json=dinner(*guests))).json()["id"]
    return event_id


async def burst(organizer: Person, guest: Person, number: int) -> set[str]:
    """The ids of as many events, made ten at a time."""
    turns = asyncio.Semaphore(10)

    async def one() -> str:
        async with turns:
            return await make(organizer, guest.email)

    return set(await asyncio.gather(*(one() for _ in range(number))))


async def told(person: Person, events: set[str]) -> None:
    """Wait until a person knows of all these events. Nobody knows twice."""
    async with asyncio.timeout(SECONDS):
        while True:
            known = [item["event"]["id"] async for item in person.items("/notifications")]
            if events <= set(known):
                assert len(known) == len(set(known))
                return
            await asyncio.sleep(0.05)


async def test_a_worker_killed_amid_ten_thousand_participants(system: System, ann: Person) -> None:
    """Its transaction is open and waits for a lock: killed there, it leaves nothing, and the lease tells again."""
    event = await make(ann)
    guests = {"participants": [{"email": f"guest-{number}@example.org"} for number in range(10_000)]}
    with system.connect() as blocking, system.connect() as connection:
        with blocking.transaction():
            blocking.execute("LOCK TABLE notifications IN SHARE MODE")
            assert (await ann.call("POST", f"/events/{event}/participants", json=guests)).json()["added"] == 10_000
            until(lambda: connection.execute(WORKING).fetchall(), "a worker is amid the fan-out")
            system.kill("worker")
            for (pid,) in connection.execute(WORKING).fetchall():
                # What a kernel that resets the connection of a dead host comes to. Left alone, it would finish.
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        count = "SELECT count(*) FROM notifications JOIN changes c ON c.id = change_id WHERE c.event_id = %s"
        assert connection.execute(count, [event]).fetchone() == (0,)
        system.start("worker")
        until(lambda: connection.execute(count, [event]).fetchone() == (10_000,), "all are told")
        claims = connection.execute("SELECT max(claims) FROM changes WHERE event_id = %s", [event]).fetchone()
        assert claims is not None
        assert claims[0] > 1
    system.ready("worker")


async def test_redis_flushed_during_a_burst_of_200_events(system: System, ann: Person, ben: Person) -> None:
    """The worker is frozen, so that messages are really lost; then Redis is flushed again and again while it works."""
    with Redis.from_url(system.valkey.url()) as redis:
        system.freeze("worker")
        making = asyncio.create_task(burst(ann, ben, 200))
        async with asyncio.timeout(SECONDS):
            while not redis.llen("fan_out"):
                await asyncio.sleep(0.01)
        redis.flushall()
        system.thaw("worker")
        while not making.done():
            redis.flushall()
            await asyncio.sleep(0.05)
    await told(ben, await making)


@pytest.fixture(params=["stopped", "frozen"])
def away(request: pytest.FixtureRequest, system: System) -> Iterator[Callable[[], None]]:
    """Takes Redis away at once; what is yielded brings it back."""
    process = system.valkey.process
    assert process is not None
    if request.param == "stopped":
        system.valkey.stop()
        back: Callable[[], Any] = system.valkey.start
    else:
        os.kill(process.pid, signal.SIGSTOP)
        back = partial(os.kill, process.pid, signal.SIGCONT)
    is_back = False

    def bring_back() -> None:
        nonlocal is_back
        if not is_back:
            back()
            is_back = True

    yield bring_back
    bring_back()


async def test_writes_go_on_without_redis(
    system: System, ann: Person, ben: Person, http: httpx.AsyncClient, away: Callable[[], None]
) -> None:
    events = await burst(ann, ben, 20)
    assert {item["id"] async for item in ann.items("/events")} >= events
    assert (await http.get("/readyz")).json()["degraded"]
    assert not events & {item["event"]["id"] async for item in ben.items("/notifications")}
    away()
    await told(ben, events)


async def test_a_dispatcher_killed_and_two_at_once(system: System, ann: Person, ben: Person) -> None:
    system.kill("dispatcher")
    events = await burst(ann, ben, 10)
    for name in ("dispatcher", "dispatcher-2"):
        system.start(name)
        system.ready(name)
    await told(ben, events)
    await told(ben, await burst(ann, ben, 50))
    system.kill("dispatcher-2")
    await told(ben, await burst(ann, ben, 10))


async def test_postgresql_restarted(system: System, ann: Person, ben: Person, http: httpx.AsyncClient) -> None:
    """Nobody is started again for it, and a live stream that was open goes on."""
    before = {name: system.pid(name) for name in ("api", "dispatcher", "worker")}
    async with ben.stream() as stream:
        system.postgres.stop()
        with pytest.raises(ApiError) as refused:
            await make(ann, ben.email)
        assert refused.value.status == 503
        assert refused.value.problem["type"].endswith("/unavailable")
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/livez")).status_code == 200
        system.postgres.start()
        event = await make_when_possible(ann, ben.email)
        async with asyncio.timeout(SECONDS):
            assert (await anext(stream))["event"]["id"] == event
    assert {name: system.pid(name) for name in before} == before


async def make_when_possible(organizer: Person, guest: str) -> str:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await make(organizer, guest)
            except ApiError as error:
                if error.status != httpx.codes.SERVICE_UNAVAILABLE:
                    raise
            await asyncio.sleep(0.05)


async def test_a_stopped_api_ends_its_streams_and_stops_in_order(system: System, ann: Person, ben: Person) -> None:
    """A client that comes back gets what it missed meanwhile."""
    async with ben.stream() as stream, asyncio.timeout(SECONDS):
        first = await make(ann, ben.email)
        while (last := await anext(stream))["event"]["id"] != first:
            pass
        second = await make(ann, ben.email)
        stopping = asyncio.create_task(asyncio.to_thread(system.stop, "api"))
        rest = {item["event"]["id"] async for item in stream}  # ends in order: no exception
        assert await stopping == 0
    system.start("api")
    await asyncio.to_thread(system.ready, "api")
    async with ben.stream(last["id"]) as stream, asyncio.timeout(SECONDS):
        while second not in rest:  # among them may be some that came before
            rest.add((await anext(stream))["event"]["id"])
