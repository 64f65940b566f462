"""What happened to an event."""

from typing import Any
from uuid import UUID

from planner_common.held import DECISION, HELD
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB

from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import problems
from planner_api.events import reading
from planner_api.pagination import CursorQuery, LimitQuery, bigint, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.events import Organizer
from planner_api.schemas.history import ChangeOut, History

router = make_router("events")

# What others answered, who was taken out and who was given a place is between them and the organizer. So is what the
# brake keeps back.
HISTORY = text(f"""
    SELECT c.revision, c.kind, c.at, c.diff, actor.id AS actor_id, actor.name, actor.email,
           CASE WHEN :organizes AND {HELD} THEN c.held_at END AS held_at,
           CASE WHEN :organizes THEN {DECISION} END AS decision
      FROM changes c LEFT JOIN accounts actor ON actor.person_id = c.actor
     WHERE c.event_id = :event AND c.revision > CAST(:after AS bigint)
       AND (:organizes OR c.actor = :person OR c.kind NOT IN ('response', 'removal', 'promotion') OR EXISTS (
           SELECT FROM promotions p WHERE p.change_id = c.id AND p.person_id = :person
       ))
     ORDER BY c.revision LIMIT :limit
""").columns(diff=JSONB)


@router.get("/events/{event_id}/history", responses=problems(401, 403, 404))
async def show_history(
    event_id: UUID, caller: CallerDep, connection: ConnectionDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> History:
    """The changes, in their order. Those who take part see what happened to the event, and their own answers and
    promotions."""
    access = await reading.access(connection, event_id, caller)
    (after,) = decode(cursor, bigint) if cursor is not None else (0,)
    organizes = access["organizer_id"] == caller.account_id
    values: dict[str, Any] = {"event": event_id, "after": after, "organizes": organizes, "person": caller.person_id}
    rows = (await connection.execute(HISTORY, {**values, "limit": limit + 1})).all()
    return History(
        items=[
            ChangeOut(
                revision=row.revision,
                kind=row.kind,
                actor=Organizer(id=row.actor_id, name=row.name, email=row.email) if row.actor_id else None,
                at=row.at,
                diff=row.diff,
                held_at=row.held_at,
                decision=row.decision,
            )
            for row in rows[:limit]
        ],
        next_cursor=encode(rows[limit - 1].revision) if len(rows) > limit else None,
    )
