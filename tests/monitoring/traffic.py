"""A known number of requests, changes and mails, between two moments that Prometheus has seen."""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

from planner_local.client import ApiError, Person

from tests.compose.stack import compose, until
from tests.monitoring import asking
from tests.system import Outside

LOOKS = 20
MISSING = 7
EVENTS = 12
GUESTS = 3
SECONDS = 20
"""How long the window is at least: what Prometheus makes up at its edges weighs little."""
SCRAPED = 2 * 2 + 1
"""Seconds of it, at the edges, of which there may be no sample."""

NOBODY = "/events/00000000-0000-7000-8000-000000000000"
SENT = 'sum(planner_deliveries_total{channel="email",state="sent"})'
RUNS = "sum(planner_canary_runs_total)"


@dataclass(frozen=True)
class Traffic:
    """What was done, and within how many seconds until when: Prometheus has samples from before and after it."""

    looks: int
    missing: int
    events: int
    mails: int
    canaries: float
    """Runs of the canary, which go on meanwhile: an upper bound."""
    alerts: dict[str, str]
    """Those that fired in the end, with their severity, as Prometheus itself lists them."""
    seconds: int
    end: float

    @property
    def stretch(self) -> float:
        """How much more than there was Prometheus may compute, which extrapolates to the window's edges."""
        return self.seconds / (self.seconds - SCRAPED)


def mails() -> int:
    """How many the mail server has taken."""
    return compose("logs", "--no-log-prefix", "--no-color", "sink").count("mail to ")


def dinner(*guests: str) -> dict[str, Any]:
    return {
        "title": "Dinner",
        "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
        "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
        "participants": [{"email": guest} for guest in guests],
    }


async def ask(ann: Person, bob: Person, *, looks: int, missing: int, events: int) -> None:
    for _ in range(looks):
        await ann.call("GET", "/me")
    for _ in range(missing):
        try:
            await ann.call("GET", NOBODY)
        except ApiError as error:
            assert error.status == 404  # noqa: PT017
    for number in range(events):
        guests = [f"guest-{time.time_ns()}-{number}-{guest}@example.net" for guest in range(GUESTS)]
        await ann.call("POST", "/events", json=dinner(bob.email, *guests))


async def settled(planner: Outside) -> None:
    """All was delivered, and Prometheus knows it: it has scraped everything twice since."""
    assert await asyncio.to_thread(planner.faults) == (0, 0, 0)
    await asyncio.to_thread(until, lambda: asking.value(SENT) == mails(), "Prometheus counts every mail that was taken")
    await scraped(time.time() + 1)


async def scraped(since: float) -> None:
    oldest = 'min(timestamp(up{job!~"prometheus|alertmanager|flower"}))'
    await asyncio.to_thread(until, lambda: (asking.value(oldest) or 0) > since, "everything was scraped since")


async def send(planner: Outside, ann: Person, bob: Person) -> Traffic:
    """A little of everything first, so that every counter that the rest counts up is there already."""
    await ask(ann, bob, looks=1, missing=1, events=1)
    await settled(planner)
    begun, before, runs = time.time(), mails(), asking.value(RUNS)
    await scraped(begun)  # a sample of the window from before the traffic, which is over within a moment
    await ask(ann, bob, looks=LOOKS, missing=MISSING, events=EVENTS)
    await settled(planner)
    await asyncio.to_thread(until, lambda: time.time() >= begun + SECONDS, "the window is long enough")
    end = time.time()
    canaries = (asking.value(RUNS, end) or 0) - (runs or 0) + 3
    return Traffic(LOOKS, MISSING, EVENTS, mails() - before, canaries, asking.firing(), math.ceil(end - begun), end)
