"""`python -m planner_exporter.canary`: a notification goes the whole way, again and again. Metrics on port 9809.

One account answers an event of another by the API, as anybody's program would, and then the other's inbox is asked
until the answer is in it. Between the two lie the API, PostgreSQL, the dispatcher, Redis and a worker; nothing short of
this shows that people are told. Runs do not overlap, and one that is not told within `LIMIT` is late, once.

The inbox is asked again and again, after pauses that grow with the wait: what is measured is too long by a quarter or
20 ms at most, and a run costs some six small requests. The live stream would be more exact, and would be another way:
with it broken everybody is still told, and an alarm that says otherwise is a wrong one.

Every day has its event, so that none grows without end and the rows of past days can go as a whole.
"""

import math
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn

from planner_common import metrics
from planner_common.canary import ORGANIZER, PARTICIPANT, token
from planner_common.logging import configure_logging, get_logger, in_short
from planner_common.settings import HEARTBEAT_SECONDS, Settings, settings_or_exit
from planner_common.watchdog import Watchdog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from planner_exporter.api import AWAY, Api, RefusedError

CONFIGURATION = 78  # EX_CONFIG of sysexits.h
LIMIT = 60.0
"""Seconds after which a run is late."""
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 0.02, 0.25, 1.0
"""Seconds between two looks into the inbox: so many, or that share of what was waited already, at most so many."""
PAGE = 200
LOST = {403, 404, 409}
"""The event was deleted or cancelled by somebody, or the participant taken out."""
UNAUTHORIZED = 401

logger = get_logger("planner_exporter.canary")


class Outcome(StrEnum):
    """What became of a run: by its last request, if the notification was not there."""

    TOLD = "told"
    LATE = "late"
    REFUSED = "refused"
    """The API answered 4xx or 5xx."""
    UNREACHABLE = "unreachable"
    """It did not answer."""


class LateError(Exception):
    """The change was made, and nobody told of it in time."""


class Metrics:
    """With every series there from the start: nothing ever told is as old as this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.latency = Histogram(
            "planner_canary_latency_seconds",
            "From the canary's request to its notification being in the inbox.",
            buckets=metrics.LATENESS,
            registry=registry,
        )
        self.last_latency = Gauge(
            "planner_canary_last_latency_seconds", "The same, of the last that arrived.", registry=registry
        )
        self.last_success = Gauge(
            "planner_canary_last_success_timestamp_seconds",
            "When a canary's notification last arrived; before the first one, when the canary started.",
            registry=registry,
        )
        self.runs = Counter("planner_canary_runs", "Canaries sent, by outcome.", ["outcome"], registry=registry)
        for outcome in Outcome:
            self.runs.labels(outcome)
        self.last_latency.set(math.nan)
        self.last_success.set_to_current_time()


class Canary:
    """`run()` is one canary, from its request to its outcome."""

    def __init__(self, settings: Settings, key: str, registry: CollectorRegistry, *, limit: float = LIMIT) -> None:
        self.metrics = Metrics(registry)
        self.limit = limit
        self.pause = 0.0
        """Seconds that the API asked to be left alone, after the last run."""
        self.pulse = Pulse(settings)
        self._api = Api(settings.api_url)
        self._organizer, self._participant = token(key, ORGANIZER), token(key, PARTICIPANT)
        self._event: tuple[date, str] | None = None
        self._before: Outcome | None = None
        """What became of the last run: only what is different is logged."""

    def run(self) -> Outcome:
        name = f"canary-{secrets.token_hex(8)}"
        outcome, self.pause = Outcome.TOLD, 0.0
        fault: Exception | None = None
        try:
            latency = self._told(name)
            self.metrics.latency.observe(latency)
            self.metrics.last_latency.set(latency)
            self.metrics.last_success.set_to_current_time()
        except LateError as error:
            outcome, fault = Outcome.LATE, error
        except RefusedError as error:
            outcome, fault = Outcome.REFUSED, error
            self.pause = min(error.retry_after, self.limit)
        except AWAY as error:
            outcome, fault = Outcome.UNREACHABLE, error
        self._api.close()  # the API would not keep it until the next run
        self.metrics.runs.labels(outcome).inc()
        if outcome != self._before:
            self._log(outcome, fault, name)
        self._before = outcome
        return outcome

    def _told(self, name: str) -> float:
        """Answer the event, and return the seconds until the organizer's inbox showed it."""
        event = self._event_of_today()
        began = time.monotonic()
        try:
            self._api.call(
                self._participant, "PUT", f"/events/{event}/response", {"response": "accepted", "comment": name}, name
            )
        except RefusedError as error:
            if error.status in LOST:
                self._event = None
            raise
        unread: list[dict[str, Any]] = []
        try:
            while True:
                fault: Exception = LateError(f"not in the inbox within {self.limit:g} s")
                pause = 0.0
                try:
                    unread = self._api.call(self._organizer, "GET", f"/notifications?unread=true&limit={PAGE}")["items"]
                except RefusedError as error:
                    fault, pause = error, error.retry_after
                except AWAY as error:
                    fault = error
                waited = time.monotonic() - began
                if any(name in item["data"].get("comment", ()) for item in unread):
                    return waited
                if waited >= self.limit:
                    raise fault
                pause = max(pause, min(max(FIRST_PAUSE, GROWTH * waited), LONGEST_PAUSE))
                self.pulse.rest(min(pause, self.limit - waited))
        finally:
            if unread:  # with those that came too late
                with suppress(RefusedError, *AWAY):
                    self._api.call(self._organizer, "POST", "/notifications/read", {"up_to": unread[0]["id"]})

    def _event_of_today(self) -> str:
        today = datetime.now(UTC).date()
        if self._event is None or self._event[0] != today:
            body = {
                "title": f"Canary of {today}",
                "description": "Planner's canary answers it, to see that the answer is told.",
                "start": {"date": today.isoformat()},
                "end": {"date": (today + timedelta(days=1)).isoformat()},
                "participants": [{"email": PARTICIPANT, "name": "Canary"}],
            }
            self._event = today, self._api.call(self._organizer, "POST", "/events?notify=none", body)["id"]
        return self._event[1]

    def _log(self, outcome: Outcome, fault: Exception | None, name: str) -> None:
        if fault is None:
            logger.info("canary arrives", request_id=name)
            return
        todo = "planner doctor"
        if outcome is Outcome.LATE:
            todo = f"planner trace {name}"
        elif isinstance(fault, RefusedError) and fault.status == UNAUTHORIZED:
            todo = "the API does not know the canary: run `planner migrate` with its CANARY_KEY"
        logger.warning("canary does not arrive", outcome=outcome, error=in_short(fault), todo=todo, request_id=name)


class Pulse:
    """Shows that the loop turns: by the heartbeat file, and to the watchdog."""

    def __init__(self, settings: Settings) -> None:
        self._heartbeat = settings.heartbeat_file
        self.watchdog = Watchdog("canary", settings.watchdog_seconds)

    def rest(self, seconds: float) -> None:
        """Sleep, turning."""
        until = time.monotonic() + seconds
        while True:
            self.watchdog.beat()
            if self._heartbeat is not None:
                with suppress(OSError):  # a full disk stops the heartbeat, not the canary
                    self._heartbeat.touch()
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(left, HEARTBEAT_SECONDS))


def serve(settings: Settings, key: str) -> Callable[[], NoReturn]:
    """Serve its metrics. Returns what goes round for ever, to be called. Exits if the port is taken."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics.begin("canary", settings.planner_revision)
    registry.register(metrics.build)
    every = settings.canary_seconds
    canary = Canary(settings, key, registry) if every else None
    pulse = canary.pulse if canary else Pulse(settings)
    pulse.watchdog.start()
    try:
        start_http_server(settings.canary_port, settings.exporter_host, registry)
    except OSError as error:
        sys.exit(f"canary: CANARY_PORT {settings.canary_port}: {error.strerror}")
    logger.info("ready", every=every, address=f"http://{settings.exporter_host}:{settings.canary_port}/metrics")

    def turn() -> NoReturn:
        start = time.monotonic()
        while True:
            # The API, which may be starting too, has until then. What took longer is not made up for.
            start = max(start + (every or HEARTBEAT_SECONDS), time.monotonic())
            pulse.rest(max(start - time.monotonic(), canary.pause if canary else 0))
            if canary is not None:
                canary.run()

    return turn


def main() -> None:
    settings = settings_or_exit()
    if settings.canary_key is None:
        sys.stderr.write("setting CANARY_KEY: must be set, here or by CANARY_KEY_FILE, to what `planner migrate` had\n")
        sys.exit(CONFIGURATION)
    configure_logging(settings, "canary")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # it holds nothing, and need not hear from the API first
    serve(settings, settings.canary_key.get_secret_value())()


if __name__ == "__main__":
    main()
