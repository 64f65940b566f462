"""Live streams: every process listens once to PostgreSQL and hands what it hears to the streams it serves.

One connection and one task do that for all streams. `NOTIFY` only wakes them: what was fanned out is also asked for
every few seconds, and after a lost connection, from where it had been read to. So a stream may be late, or repeat a
notification under the same id, but skips none.
"""

import asyncio
import contextlib
import json
import signal
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import FrameType
from uuid import UUID

from asyncpg.exceptions import InterfaceError, PostgresError
from fastapi.sse import format_sse_event
from planner_common import metrics
from planner_common.logging import get_logger
from planner_common.messages import Channel
from planner_common.settings import Settings
from sqlalchemy import RowMapping, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import make_engine_for_one
from planner_api.inbox import as_json, showing

POLL_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
OVERLAP = timedelta(seconds=10)
"""How much of what was asked for is asked for again: `fanned_out_at` is set a moment before the commit shows it."""
QUEUE_LENGTH = 256
"""Notifications that may wait for a slow client. One more and its stream is closed: it resumes where it was."""
BATCH = 50
"""Notifications that are put into sentences before other requests get their turn."""

FANNED_OUT = text("""
    SELECT now() AS at, ARRAY(
        SELECT id FROM changes
         WHERE notify AND fanned_out_at > COALESCE(CAST(:since AS timestamptz), now()) - CAST(:overlap AS interval)
    ) AS changes
""")
LIVE = text(showing("SELECT * FROM notifications WHERE change_id = ANY(:changes) AND person_id = ANY(:people)"))

logger = get_logger(__name__)


def frame(row: RowMapping) -> bytes:
    """A notification as a stream sends it."""
    return format_sse_event(id=str(row["id"]), event="notification", data_str=as_json(row))


class Subscription:
    """What waits for one stream."""

    def __init__(self) -> None:
        self._frames: deque[tuple[UUID, bytes]] = deque()
        self._wake = asyncio.Event()
        self.is_closed = False

    def put(self, notification_id: UUID, data: bytes) -> None:
        if self.is_closed:
            return
        if len(self._frames) == QUEUE_LENGTH:
            logger.info("stream_too_slow")
            self.close()
            return
        self._frames.append((notification_id, data))
        self._wake.set()

    def close(self) -> None:
        """End the stream. What waits is dropped: the client gets it when it resumes."""
        self.is_closed = True
        self._frames.clear()
        self._wake.set()

    async def take(self, seconds: float) -> list[tuple[UUID, bytes]]:
        """What waits, as (id, frame). Nothing, if nothing came within that time or the stream was closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()
        taken = list(self._frames)
        self._frames.clear()
        return taken


class Streams:
    """The live streams of this process."""

    def __init__(self, settings: Settings) -> None:
        self._engine = make_engine_for_one(settings, "planner-api-streams")
        self._task: asyncio.Task[None] | None = None
        self._people: dict[UUID, set[Subscription]] = {}
        self._is_closed = False
        self._wake = asyncio.Event()
        self._heard: set[int] = set()
        self._seen: set[int] = set()
        self._since: datetime | None = None
        self._poll_at = 0.0

    def count(self, person_id: UUID) -> int:
        return len(self._people.get(person_id, ()))

    @contextlib.contextmanager
    def subscribe(self, person_id: UUID) -> Iterator[Subscription]:
        """What is told to this person from now on, until the block ends."""
        subscription = Subscription()
        if self._is_closed:
            subscription.close()
        self._people.setdefault(person_id, set()).add(subscription)
        metrics.streams.inc()
        try:
            yield subscription
        finally:
            metrics.streams.dec()
            self._people[person_id].discard(subscription)
            if not self._people[person_id]:
                del self._people[person_id]

    def end(self) -> None:
        """End all streams, and at once those that are still to come: the process stops."""
        self._is_closed = True
        for subscriptions in self._people.values():
            for subscription in subscriptions:
                subscription.close()

    @contextlib.contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Within the block, the signals that stop uvicorn end the streams too.

        uvicorn first waits until every response is complete and only then tells the application that it stops.
        """
        loop = asyncio.get_running_loop()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.end)
            handler = handlers[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)

        try:
            for number in handlers:
                signal.signal(number, handle)
        except ValueError:  # not the main thread: whoever runs this server stops it otherwise
            handlers.clear()
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._engine.dispose()

    async def _run(self) -> None:
        """Listen; when PostgreSQL goes away, again as soon as it is back."""
        while True:
            try:
                async with self._engine.connect() as connection:
                    await self._listen(connection)
            except (OSError, SQLAlchemyError, PostgresError, InterfaceError) as error:
                logger.warning("stream_listener_lost", error=type(error).__name__)
            except Exception:  # without this task every stream of the process would be silent for good
                logger.exception("stream_listener_failed")
            self._poll_at = 0.0
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self, connection: AsyncConnection) -> None:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None  # noqa: S101  # for mypy: it was connected just now
        driver.add_termination_listener(lambda _driver: self._look())
        await driver.add_listener(Channel.NOTIFICATIONS, self._hear)
        clock = asyncio.get_running_loop().time
        while True:
            if clock() >= self._poll_at:
                await self._poll(connection)
                self._poll_at = clock() + POLL_SECONDS
            heard, self._heard = self._heard, set()
            await self._deliver(connection, heard)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._poll_at):
                    await self._wake.wait()
            self._wake.clear()

    def _hear(self, _driver: object, _pid: int, _channel: str, payload: str) -> None:
        if payload:
            self._heard.update(json.loads(payload))
            self._wake.set()
        else:
            self._look()

    def _look(self) -> None:
        """Poll now: something may be there, or the connection may be gone, which polling finds out."""
        self._poll_at = 0.0
        self._wake.set()

    async def _poll(self, connection: AsyncConnection) -> None:
        """Deliver what was fanned out since the last time and not heard of."""
        async with connection.begin():
            found = (await connection.execute(FANNED_OUT, {"since": self._since, "overlap": OVERLAP})).one()
        self._seen.intersection_update(found.changes)
        await self._deliver(connection, set(found.changes))
        self._since = found.at  # only now: what could not be delivered is asked for again

    async def _deliver(self, connection: AsyncConnection, changes: set[int]) -> None:
        """Hand the notifications of these changes to the streams of their people."""
        changes -= self._seen
        if changes and self._people:
            values = {"changes": sorted(changes), "people": list(self._people)}
            async with connection.begin():
                result = await connection.stream(LIVE, values)
                async for rows in result.mappings().partitions(BATCH):
                    for row in rows:
                        self._hand_over(row)
                    await asyncio.sleep(0)
        self._seen |= changes

    def _hand_over(self, row: RowMapping) -> None:
        subscriptions = self._people.get(row["person_id"])
        if not subscriptions:
            return
        try:
            data = frame(row)
        except Exception:  # one that cannot be shown must not keep the others from being told
            logger.exception("notification_not_shown", notification_id=str(row["id"]))
            return
        for subscription in subscriptions:
            subscription.put(row["id"], data)
