"""The answer to `GET /notifications/stream`: Server-Sent Events from a subscription, after what a client had missed.

FastAPI's own way (an endpoint that yields) costs two more tasks and two buffers per stream, which five thousand of them
would feel, and cannot be ended. So only the format is FastAPI's.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from planner_common.logging import get_logger
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from planner_api.database import DatabaseAwayError, connect
from planner_api.inbox import showing
from planner_api.stream import Streams, Subscription, frame

COMMENT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000
"""When clients are told to come back after a stream has ended."""
SEND_SECONDS = 30.0
"""How long a client may take nothing at all before its stream is given up."""
REPLAY_PAGE = 200
LATE_IDS = timedelta(seconds=60)
LATE_COMMITS = timedelta(seconds=5)

RESUMED = text("""
    SELECT c.fanned_out_at FROM notifications n JOIN changes c ON c.id = n.change_id
     WHERE n.person_id = :person_id AND n.id = :id
""")
# Ids are made when rows are inserted, and rows are seen when their transaction commits: a large fan-out may show ids
# that are older than one sent long before. A fan-out ends within 60 s (its statement timeout), so such an id is at most
# that much older than the one resumed from; and it was fanned out later, save what a commit takes.
MISSED = text(
    showing(
        """
        SELECT n.* FROM notifications n JOIN changes c ON c.id = n.change_id
         WHERE n.person_id = :person_id AND n.id > :after AND n.id <> :resumed
           AND (n.id > :resumed OR c.fanned_out_at > CAST(:fanned_out_at AS timestamptz) - CAST(:late AS interval))
         ORDER BY n.id LIMIT :limit
        """,
        "ORDER BY n.id",
    )
)

logger = get_logger(__name__)


def moved(uuid7: UUID, by: timedelta) -> UUID:
    """The UUIDv7 whose time is so much later, with the same random part."""
    return UUID(int=max(0, uuid7.int + (int(by / timedelta(milliseconds=1)) << 80)))


async def missed(engine: AsyncEngine, person_id: UUID, resumed: UUID) -> AsyncIterator[tuple[bytes, set[UUID]]]:
    """What a client that has had the notification `resumed` may not have had: chunks, and the ids in each.

    No connection is held while a chunk is being sent.
    """
    async with connect(engine) as connection:
        fanned_out_at = await connection.scalar(RESUMED, {"person_id": person_id, "id": resumed})
    # An `id` without data only sets what the client will resume from. It follows those that are older than `resumed`:
    # a client that resumed from one of them would go back in time, and further each time.
    reset = format_sse_event(id=str(resumed))
    values: dict[str, Any] = {
        "person_id": person_id,
        "resumed": resumed,
        "after": moved(resumed, -LATE_IDS),
        "fanned_out_at": fanned_out_at,
        "late": LATE_COMMITS,
        "limit": REPLAY_PAGE,
    }
    while True:
        async with connect(engine) as connection:
            rows = (await connection.execute(MISSED, values)).mappings().all()
        if rows:
            late = [frame(row) for row in rows if row["id"] < resumed]
            new = [frame(row) for row in rows if row["id"] > resumed]
            yield b"".join([*late, *([reset] if late else []), *new]), {row["id"] for row in rows}
        if len(rows) < REPLAY_PAGE:
            return
        values["after"] = rows[-1]["id"]


class NotificationStream(StreamingResponse):
    """Sends until the client goes, the process stops or `seconds` are over."""

    media_type = "text/event-stream"

    def __init__(
        self, streams: Streams, engine: AsyncEngine, person_id: UUID, resumed: UUID | None, seconds: float
    ) -> None:
        super().__init__((), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._streams = streams
        self._engine = engine
        self._person_id = person_id
        self._resumed = resumed
        self._ends_at = asyncio.get_running_loop().time() + seconds

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        # Subscribed before the answer begins and before what was missed is read: nothing falls in between.
        with self._streams.subscribe(self._person_id) as subscription:
            self.body_iterator = self._chunks(subscription)
            try:
                await super().stream_response(send_in_time)
            except TimeoutError:
                logger.info("stream_stalled")

    async def _chunks(self, subscription: Subscription) -> AsyncIterator[bytes]:
        yield format_sse_event(comment="subscribed", retry=RETRY_MILLISECONDS)
        sent: set[UUID] = set()
        if self._resumed is not None:
            try:
                async for chunk, ids in missed(self._engine, self._person_id, self._resumed):
                    if subscription.is_closed:
                        return
                    yield chunk
                    sent = ids
            except (DatabaseAwayError, SQLAlchemyError, OSError) as error:
                logger.warning("stream_not_resumed", error=type(error).__name__)
                return
        clock = asyncio.get_running_loop().time
        while not subscription.is_closed and (left := self._ends_at - clock()) > 0:
            taken = await subscription.take(min(COMMENT_SECONDS, left))
            chunk = b"".join(data for notification_id, data in taken if notification_id not in sent)
            yield chunk or KEEPALIVE_COMMENT
