"""One event with 100,000 participants: how long until all of them are told, and what everyone else feels of it."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx
import pytest
from planner_local.client import Person
from planner_local.watch import Inbox

from tests.system import Outside

Join = Callable[..., Awaitable[Person]]
BATCHES, BATCH = 10, 10_000
TOLD_SECONDS = 5.0
REQUESTS_PER_SECOND = 40
BEFORE_SECONDS = 15
START, END = ({"date_time": f"2030-05-01T{hour}:00:00", "time_zone": "Europe/Berlin"} for hour in (19, 22))


class Others:
    """`async with Others(person) as others:` people who use Planner meanwhile, at a steady pace, whatever it takes."""

    def __init__(self, person: Person, event: str) -> None:
        self.person = person
        self.event = event
        self.seconds: list[float] = []
        self._requests: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._pace = asyncio.create_task(self._keep_asking())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._pace.cancel()
        await asyncio.gather(*self._requests)

    async def _keep_asking(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        kinds = [self._read, self._inbox, self._read, self._write]
        while True:
            for kind in kinds:
                request = asyncio.create_task(self._timed(kind))
                self._requests.add(request)
                request.add_done_callback(self._requests.discard)
                due += 1 / REQUESTS_PER_SECOND
                await asyncio.sleep(max(0, due - clock()))

    async def _timed(self, ask: Callable[[], Awaitable[httpx.Response]]) -> None:
        started = time.perf_counter()
        await ask()
        self.seconds.append(time.perf_counter() - started)

    async def _read(self) -> httpx.Response:
        return await self.person.call("GET", f"/events/{self.event}")

    async def _inbox(self) -> httpx.Response:
        return await self.person.call("GET", "/notifications")

    async def _write(self) -> httpx.Response:
        return await self.person.call("POST", "/events", json={"title": "Walk", "start": START, "end": END})

    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]

    def __str__(self) -> str:
        median, p99, worst = statistics.median(self.seconds), self.p99(), max(self.seconds)
        return (
            f"{len(self.seconds)} requests: median {median * 1e3:.1f}, p99 {p99 * 1e3:.1f}, worst {worst * 1e3:.1f} ms"
        )


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_thousand_are_told_and_nobody_else_notices(
    planner: Outside, join: Join, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, dora = await join("Ann"), await join("Dora")
    watchers = [await join("Ben") for _ in range(BATCHES)]  # one in each batch, which is told as one
    event = (await ann.call("POST", "/events", json={"title": "Fair", "start": START, "end": END})).json()["id"]
    other = (await dora.call("POST", "/events", json={"title": "Walk", "start": START, "end": END})).json()["id"]
    bodies = [batch(number, watcher) for number, watcher in enumerate(watchers)]
    headers = {"Content-Type": "application/json"}

    async with Others(dora, other):  # whatever the first requests take longer for
        await asyncio.sleep(2)
    async with Others(dora, other) as before:
        await asyncio.sleep(BEFORE_SECONDS)

    inboxes = [Inbox(watcher) for watcher in watchers]
    for inbox in inboxes:
        await inbox.__aenter__()
    adding = []
    async with Others(dora, other) as during:
        for body in bodies:
            started = time.perf_counter()
            await ann.call("POST", f"/events/{event}/participants", content=body, headers=headers)
            adding.append(time.perf_counter() - started)
        last = time.perf_counter()
        while not all(inbox.arrived for inbox in inboxes):  # noqa: ASYNC110  # other processes: nothing to be awaited
            await asyncio.sleep(0.01)
    told = max(when for inbox in inboxes for when, _ in inbox.arrived.values()) - last
    for inbox in inboxes:
        await inbox.__aexit__()

    with capsys.disabled():
        print(  # noqa: T201  # figures, for whoever runs this
            f"\n{BATCHES * BATCH:,} participants: each call of {BATCH:,} took {statistics.median(adding):.2f} s "
            f"(worst {max(adding):.2f}); the last were told {told:.2f} s after the last call"
            f"\nothers before: {before}\nothers during: {during} ({during.p99() / before.p99():.1f} times the p99)"
        )
    assert planner.faults() == (0, 0, 0)
    assert told < TOLD_SECONDS
    assert during.p99() < 2 * before.p99()


def batch(number: int, watcher: Person) -> bytes:
    emails = [f"guest-{watcher.email.partition('@')[0]}-{index}@example.org" for index in range(BATCH - 1)]
    people: list[dict[str, Any]] = [{"email": email} for email in (*emails, watcher.email)]
    return json.dumps({"participants": people}).encode()
