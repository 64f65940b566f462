"""Redis stopped, or frozen, for a minute: no request fails or gets slow, and what was due meanwhile is delivered soon.

Measures, so it needs a machine that does nothing else: `pytest -s -m slow tests/acceptance/test_redis_away.py`.
"""

import asyncio
import os
import signal
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from planner_local.client import Person, connect

from tests.smtp import Sink
from tests.system import System, until

REQUESTS_PER_SECOND = 40
USUAL_SECONDS, AWAY_SECONDS = 20, 60
SLOWER, SOON_SECONDS = 5, 30
UNFINISHED = """
    SELECT (SELECT count(*) FROM changes WHERE fanned_out_at IS NULL)
         + (SELECT count(*) FROM deliveries WHERE finished_at IS NULL)
"""
numbers = count()


def dinner() -> dict[str, Any]:
    start = {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"}
    guest = f"guest-{next(numbers)}@example.net"
    end = {**start, "date_time": "2030-05-01T22:00:00"}
    return {"title": "Dinner", "start": start, "end": end, "participants": [{"email": guest}]}


async def use(ann: Person, event: str, seconds: float) -> list[tuple[float, float]]:
    """Write and read at a steady pace, whatever it takes. When each request began, and how long it took. None fails."""
    began = time.perf_counter()
    took: list[tuple[float, float]] = []

    async def ask(number: int) -> None:
        at = time.perf_counter()
        if number % 4:
            await ann.call("GET", f"/events/{event}" if number % 2 else "/notifications/count")
        else:
            await ann.call("POST", "/events", json=dinner())
        took.append((at - began, time.perf_counter() - at))

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * REQUESTS_PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / REQUESTS_PER_SECOND - time.perf_counter()))
            group.create_task(ask(number))
    return took


def p99(took: list[tuple[float, float]], after: float = 0.0) -> float:
    seconds = sorted(one for at, one in took if at >= after)
    return seconds[int(len(seconds) * 0.99)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("frozen", [False, True], ids=["stopped", "frozen"])
async def test_a_minute_without_redis(frozen: bool) -> None:
    with (
        TemporaryDirectory(prefix="planner-test-") as name,
        Sink(Path(name) / "sink", raw=False) as sink,
        System(Path(name), settings={"SMTP_URL": sink.url, "AUDIT_SECONDS": "0", "LEASE_SECONDS": "5"}) as system,
    ):
        async with connect(system.url) as http:
            ann = await Person(http, "ann@example.org", "Ann").register()
            event = (await ann.call("POST", "/events", json=dinner())).json()["id"]
            await use(ann, event, 5)
            usual = p99(await use(ann, event, USUAL_SECONDS))
            assert system.valkey.process is not None
            pid = system.valkey.process.pid
            if frozen:
                os.kill(pid, signal.SIGSTOP)
            else:
                await asyncio.to_thread(system.valkey.stop)
            took = await use(ann, event, AWAY_SECONDS)
            if frozen:
                os.kill(pid, signal.SIGCONT)
            else:
                await asyncio.to_thread(system.valkey.start)
            back = time.monotonic()
            with system.connect() as connection:
                until(lambda: connection.execute(UNFINISHED).fetchone() == (0,), "all is delivered", 120)
            soon = time.monotonic() - back
        away = p99(took, after=1.0)
        print(  # noqa: T201  # what it is for
            f"\n{len(took)} requests, none failed · p99 usual {usual * 1000:.0f} ms, away {away * 1000:.0f} ms "
            f"({away / usual:.1f} times), with the first second {p99(took) * 1000:.0f} ms · all sent {soon:.1f} s after"
        )
        assert system.faults() == (0, 0, 0)
        assert away < SLOWER * usual
        assert soon < SOON_SECONDS
