"""The in-app inbox, and its live stream."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Query, Request, Response
from planner_common.models import notifications
from pydantic import UUID7
from pydantic_core import to_json
from sqlalchemy import ColumnElement, func, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.dependencies import Caller, CallerDep, ConnectionDep
from planner_api.direct import Json, directly
from planner_api.errors import Problem, not_found, problems
from planner_api.inbox import Page, as_json
from planner_api.pagination import LIMIT, CursorQuery, LimitQuery, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.notifications import NotificationList, ReadUpTo, UnreadCount
from planner_api.sse import NotificationStream
from planner_api.together import Together

STREAM_SECONDS = 900.0
"""How long a stream lives at most, also with a token that is good for longer: what was revoked must end some time."""
STREAMS_PER_PERSON = 20
"""Live streams that one person may have open in one process: more than anyone has devices."""

router = make_router("notifications", prefix="/notifications")

READ_UP_TO = text("""
    WITH known AS (SELECT FROM notifications WHERE person_id = :person_id AND id = :id),
    marked AS (
        UPDATE notifications SET read_at = now()
         WHERE person_id = :person_id AND id <= :id AND read_at IS NULL AND EXISTS (SELECT FROM known)
    )
    SELECT EXISTS (SELECT FROM known)
""")


async def newest(
    request: Request, caller: Caller, *, unread: bool = False, limit: int = LIMIT, before: UUID | None = None
) -> Response:
    together: Together = request.app.state.together
    ask = together.newest_unread if unread else together.newest
    rows = await ask(Page(caller.person_id, before, limit + 1))
    cursor = json.dumps(encode(str(rows[limit - 1]["id"])) if len(rows) > limit else None)
    items = ",".join([as_json(row) for row in rows[:limit]])
    return Json(f'{{"items":[{items}],"next_cursor":{cursor}}}'.encode())


@router.get("", response_model=NotificationList, responses=problems(401, 403))
@directly(newest)
async def list_notifications(
    request: Request,
    caller: CallerDep,
    unread: bool = False,
    limit: LimitQuery = LIMIT,
    cursor: CursorQuery = None,
) -> Response:
    """My notifications, newest first."""
    before = decode(cursor, UUID)[0] if cursor else None
    return await newest(request, caller, unread=unread, limit=limit, before=before)


async def count(request: Request, caller: Caller) -> Response:
    unread = await request.app.state.together.unread(caller.person_id)
    return Json(to_json({"unread": unread}))


@router.get("/count", response_model=UnreadCount, responses=problems(401, 403))
@directly(count)
async def count_notifications(request: Request, caller: CallerDep) -> Response:
    """How many of my notifications are unread."""
    return await count(request, caller)


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


@router.get("/stream", status_code=200, response_class=NotificationStream, responses=STREAM | problems(401, 403))
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
