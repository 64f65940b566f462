"""The in-app inbox, and its live stream."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Query, Request
from planner_common.models import notifications
from pydantic import UUID7
from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import Problem, not_found, problems
from planner_api.inbox import showing, shown
from planner_api.pagination import CursorQuery, LimitQuery, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.notifications import NotificationList, ReadUpTo, UnreadCount
from planner_api.sse import NotificationStream

STREAM_SECONDS = 900.0
"""How long a stream lives at most, also with a token that is good for longer: what was revoked must end some time."""
STREAMS_PER_PERSON = 20
"""Live streams that one person may have open in one process: more than anyone has devices."""

router = make_router("notifications", prefix="/notifications")

PAGE = """
    SELECT * FROM notifications
     WHERE person_id = :person_id AND id < COALESCE(CAST(:before AS uuid), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           {unread}
     ORDER BY id DESC LIMIT :limit
"""
NEWEST = showing(PAGE.format(unread=""), "ORDER BY n.id DESC")
NEWEST_UNREAD = showing(PAGE.format(unread="AND read_at IS NULL"), "ORDER BY n.id DESC")

READ_UP_TO = text("""
    WITH known AS (SELECT FROM notifications WHERE person_id = :person_id AND id = :id),
    marked AS (
        UPDATE notifications SET read_at = now()
         WHERE person_id = :person_id AND id <= :id AND read_at IS NULL AND EXISTS (SELECT FROM known)
    )
    SELECT EXISTS (SELECT FROM known)
""")


@router.get("", responses=problems(401))
async def list_notifications(
    caller: CallerDep,
    connection: ConnectionDep,
    unread: bool = False,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> NotificationList:
    """My notifications, newest first."""
    before = decode(cursor, UUID)[0] if cursor else None
    values = {"person_id": caller.person_id, "before": before, "limit": limit + 1}
    rows = (await connection.execute(NEWEST_UNREAD if unread else NEWEST, values)).mappings().all()
    items = [shown(row) for row in rows[:limit]]
    next_cursor = encode(str(items[-1].id)) if len(rows) > limit else None
    return NotificationList.model_construct(items=items, next_cursor=next_cursor)


@router.get("/count", responses=problems(401))
async def count_notifications(caller: CallerDep, connection: ConnectionDep) -> UnreadCount:
    """How many of my notifications are unread."""
    mine_unread = notifications.c.person_id == caller.person_id, notifications.c.read_at.is_(None)
    return UnreadCount(unread=await connection.scalar(select(func.count()).where(*mine_unread)) or 0)


STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Server-Sent Events, from the moment the answer begins: `id` is the notification's id, `event` is "
            "`notification`, `data` is the notification as JSON. A comment comes at least every 15 seconds."
        ),
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "type": "object",
                    "required": ["id", "event", "data"],
                    "properties": {
                        "id": {"type": "string", "format": "uuid"},
                        "event": {"const": "notification"},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/NotificationOut"},
                        },
                    },
                }
            }
        },
    }
}


@router.get("/stream", status_code=200, response_class=NotificationStream, responses=STREAM | problems(401))
async def stream_notifications(
    request: Request,
    caller: CallerDep,
    last_event_id: Annotated[UUID7 | None, Header(description="The last id that came, to resume after it.")] = None,
    resume: Annotated[
        UUID7 | None, Query(alias="last_event_id", description="The same, where a header cannot be sent.")
    ] = None,
) -> NotificationStream:
    """My notifications as they come.

    To resume without loss after a stream has ended, for whatever reason, send the last id that came. The stream then
    begins with what came since, and perhaps with some that came before: drop ids that you know. A stream ends when its
    token does, after 15 minutes at the latest, when the server stops, and when its client is too slow.
    """
    state = request.app.state
    if state.streams.count(caller.person_id) >= STREAMS_PER_PERSON:
        raise Problem(
            429,
            "too-many-streams",
            "Too many streams",
            f"You have {STREAMS_PER_PERSON} live streams open. Close one of them first.",
            headers={"Retry-After": "60"},
        )
    seconds = STREAM_SECONDS
    if caller.expires_at is not None:
        seconds = min(seconds, (caller.expires_at - datetime.now(UTC)).total_seconds())
    return NotificationStream(state.streams, state.engine, caller.person_id, last_event_id or resume, seconds)


@router.post("/read", status_code=204, responses=problems(400, 401, 404, 413, 415))
async def read_up_to(body: ReadUpTo, caller: CallerDep, connection: ConnectionDep) -> None:
    """Mark a notification and every older one as read."""
    if not await connection.scalar(READ_UP_TO, {"person_id": caller.person_id, "id": body.up_to}):
        raise not_found("notification")


@router.post("/{notification_id}/read", status_code=204, responses=problems(401, 404))
async def mark_read(notification_id: UUID, caller: CallerDep, connection: ConnectionDep) -> None:
    """Mark one as read. Read already, it keeps the time when it was."""
    await mark(connection, caller.person_id, notification_id, func.coalesce(notifications.c.read_at, func.now()))


@router.post("/{notification_id}/unread", status_code=204, responses=problems(401, 404))
async def mark_unread(notification_id: UUID, caller: CallerDep, connection: ConnectionDep) -> None:
    """Mark one as unread."""
    await mark(connection, caller.person_id, notification_id, None)


async def mark(
    connection: AsyncConnection, person_id: UUID, notification_id: UUID, read_at: ColumnElement[datetime] | None
) -> None:
    mine = notifications.c.person_id == person_id, notifications.c.id == notification_id
    if (await connection.execute(update(notifications).where(*mine).values(read_at=read_at))).rowcount == 0:
        raise not_found("notification")
