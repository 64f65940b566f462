"""Events that I am in and do not want to hear of."""

from uuid import UUID

from sqlalchemy import text

from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import problems
from planner_api.events import muting, reading
from planner_api.pagination import CursorQuery, LimitQuery, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.preferences import MutedEvent, MutedEvents

router = make_router("preferences")

FIRST = UUID(int=0)
# Of an event that somebody has left or that is gone, what has become of it is not told here either.
MUTED = text(f"""
    SELECT m.id, m.event_id, m.since, CASE WHEN {reading.SEEN} THEN e.title END AS title
      FROM mutes m JOIN events e ON e.id = m.event_id {reading.MINE}
     WHERE m.person_id = :person AND m.until IS NULL AND m.id > :after
     ORDER BY m.id LIMIT :limit
""")


@router.put("/events/{event_id}/mute", status_code=204, responses=problems(401, 403, 404))
async def mute_event(event_id: UUID, caller: CallerDep, connection: ConnectionDep) -> None:
    """No message about this event any more, on any channel. The inbox still shows what happens to it."""
    await reading.access(connection, event_id, caller)
    await muting.mute(connection, caller.person_id, event_id)


@router.delete("/events/{event_id}/mute", status_code=204, responses=problems(401, 403, 404))
async def unmute_event(event_id: UUID, caller: CallerDep, connection: ConnectionDep) -> None:
    """Messages about this event again, from now on."""
    if not await muting.unmute(connection, caller.person_id, event_id):
        await reading.access(connection, event_id, caller)


@router.get("/me/mutes", responses=problems(401, 403))
async def list_mutes(
    caller: CallerDep, connection: ConnectionDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> MutedEvents:
    """The events that I have muted, in the order in which I did."""
    values = {
        "account": caller.account_id,
        "person": caller.person_id,
        "after": decode(cursor, UUID)[0] if cursor is not None else FIRST,
        "limit": limit + 1,
    }
    rows = (await connection.execute(MUTED, values)).all()
    return MutedEvents(
        items=[MutedEvent(event_id=row.event_id, title=row.title, muted_at=row.since) for row in rows[:limit]],
        next_cursor=encode(str(rows[limit - 1].id)) if len(rows) > limit else None,
    )
