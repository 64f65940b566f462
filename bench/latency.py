"""From a request that is sent to the notification on somebody's live stream, when little goes on.

The limit is what lies on the way, with nothing done: a round trip to PostgreSQL, one to Redis, and an empty Celery task
that a waiting client sees the end of. The peer has no stream: its client asks every half second, as such clients do.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from statistics import quantiles
from typing import Any

import httpx
from planner_local.client import Person, connect
from planner_local.watch import Inbox
from redis import Redis

from bench.peers import load
from bench.rows import LIMIT, PLANNER, Goal, Row
from bench.servers import serve
from bench.stack import Plan, Stack, processes, stack

POLLING = "polling"
POLL_SECONDS = 0.5
WARM_UP = 10
PAUSE = 0.1
"""Seconds between two requests: light load."""
START, END = ({"date_time": f"2030-05-01T{hour}:00:00", "time_zone": "UTC"} for hour in (10, 11))


async def planner(system: Stack, number: int) -> AsyncIterator[float]:
    """Milliseconds, for each request."""
    async with connect(system.url) as http:
        ann = await Person(http, "ann@example.org", "Ann").register()
        bob = await Person(http, "bob@example.org", "Bob").register()
        body = {"title": "Walk", "start": START, "end": END, "participants": [{"email": bob.email}]}
        answer = await ann.call("POST", "/events", json=body)
        path = f"/events/{answer.json()['id']}"
        async with Inbox(bob) as inbox:
            for one in range(number + WARM_UP):
                before = len(inbox.arrived)
                sent = time.perf_counter()
                known = {"If-Match": answer.headers["ETag"]}
                answer = await ann.call("PATCH", path, json={"title": f"Walk {one}"}, headers=known)
                while len(inbox.arrived) == before:  # noqa: ASYNC110  # another task's list
                    await asyncio.sleep(0.0005)
                arrived = max(when for when, _ in inbox.arrived.values())
                if one >= WARM_UP:
                    yield (arrived - sent) * 1000
                await asyncio.sleep(PAUSE)


def bare(system: Stack, task: Any, number: int) -> Iterator[float]:
    redis = Redis.from_url(system.valkey.url(7))
    with system.connect() as database:
        for one in range(number + WARM_UP):
            sent = time.perf_counter()
            database.execute("SELECT 1")
            redis.ping()
            task.delay(f"done-{one}")
            redis.blpop([f"done-{one}"], timeout=10)
            if one >= WARM_UP:
                yield (time.perf_counter() - sent) * 1000
            time.sleep(PAUSE)


def polling(port: int, number: int) -> Iterator[float]:
    """Half of them arrive at a random moment of the client's pause, which is what polling costs."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        started = time.perf_counter()
        for person in range(number):
            sent = time.perf_counter()
            body = {
                "title": "Walk",
                "start": START,
                "end": END,
                "participants": [{"email": f"bob-{person}@example.org"}],
            }
            told = http.post("/events", json=body).json()["id"]
            while True:
                until_look = POLL_SECONDS - (time.perf_counter() - started) % POLL_SECONDS
                time.sleep(until_look)
                if http.get(f"/events/{told}/notifications").json():
                    break
            yield (time.perf_counter() - sent) * 1000
            time.sleep(PAUSE)


async def collect(system: Stack, number: int) -> list[float]:
    return [sample async for sample in planner(system, number)]


def run(plan: Plan) -> Iterator[Row]:
    number = plan.size(200, 10)
    with stack() as system, ExitStack() as exits:
        peer = load("with_celery", system.for_peers())
        exits.enter_context(processes(peer.WORKERS, system.for_peers(), system.folder / "celery.log"))
        port = serve(exits, system, "bench.peers.fastapi_orm:app")
        samples = {
            PLANNER: asyncio.run(collect(system, number)),
            LIMIT: list(bare(system, peer.nothing, number)),
            POLLING: list(polling(port, plan.size(40, 3))),
        }
        yield Row("latency", "request to live stream, median", "ms", samples, more=False, goals=[Goal(at_most=30)])
        tails = {name: [quantiles(sample, n=100)[98]] for name, sample in samples.items()}
        yield Row("latency", "the same, p99", "ms", tails, more=False, goals=[Goal(at_most=80)])
