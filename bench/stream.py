"""5,000 live streams on one process of the API, and one change that all of them are told of."""

import asyncio
import resource
import time
from collections.abc import Iterator

import psutil

from bench.people import Someone, World
from bench.rows import PLANNER, Goal, Row
from bench.stack import Plan, Stack, stack

OPENING = 50
"""How many are opened at once."""


class Stream(asyncio.Protocol):
    """An open stream that notes when its first notification comes."""

    def __init__(self, port: int, who: Someone) -> None:
        lines = ["GET /api/v1/notifications/stream HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Authorization: {who.bearer}"]
        self.request = "\r\n".join([*lines, "Accept: text/event-stream", "", ""]).encode()
        self.opened = asyncio.get_running_loop().create_future()
        self.told = asyncio.get_running_loop().create_future()
        self.seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if not self.opened.done() and b"\r\n\r\n" in self.seen:
            self.opened.set_result(self.seen.startswith(b"HTTP/1.1 200"))
        if not self.told.done() and b"\nid:" in self.seen:
            self.told.set_result(time.perf_counter())


async def open_all(system: Stack, people: list[Someone]) -> list[Stream]:
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    for start in range(0, len(people), OPENING):
        some = [Stream(system.api_port, who) for who in people[start : start + OPENING]]
        for one in some:
            await loop.create_connection(lambda one=one: one, "127.0.0.1", system.api_port)  # type: ignore[misc]
        assert all(await asyncio.gather(*(one.opened for one in some)))
        streams += some
    return streams


async def measure(system: Stack, number: int) -> tuple[float, float]:
    """Seconds until all were served, from the commit on; kilobytes for each stream."""
    api = psutil.Process(system.pid("api"))
    with system.connect() as database:
        world = World(database)
        organizer, *people = world.people(number + 1)
        event = world.event(organizer, people)
        await open_all(system, people[:OPENING])
        before = api.memory_info().rss
        streams = await open_all(system, people[OPENING:])
        each = (api.memory_info().rss - before) / len(streams) / 1000
        world.change(event, organizer, len(people))
        committed = time.perf_counter()
        last = max(await asyncio.gather(*(one.told for one in streams)))
    for one in streams:
        one.transport.close()
    return last - committed, each


def run(plan: Plan) -> Iterator[Row]:
    number = plan.size(5_000, 200)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for this process, and for the API that it starts
    seconds, memory = [], []
    for _ in range(plan.rounds):
        with stack() as system:
            served, each = asyncio.run(measure(system, number))
        seconds.append(served)
        memory.append(each)
    what = f"{number:,} open streams"
    yield Row("stream", f"{what}, all served", "s", {PLANNER: seconds}, more=False, goals=[Goal(at_most=2)])
    yield Row("stream", f"{what}, memory of each", "kB", {PLANNER: memory}, more=False, goals=[Goal(at_most=40)])
