"""Who was told what of an event."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import forbidden, problems
from planner_api.events import reading, telling
from planner_api.pagination import CursorQuery, LimitQuery, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.common import EmailAddress
from planner_api.schemas.deliveries import DeliveryList, StateQuery

router = make_router("events")


def revision_of(value: object) -> int:
    """A parser for cursors."""
    number = int(str(value))
    if not 0 <= number <= telling.LAST:
        raise ValueError(value)
    return number


@router.get("/events/{event_id}/deliveries", responses=problems(401, 403, 404))
async def list_deliveries(
    event_id: UUID,
    caller: CallerDep,
    connection: ConnectionDep,
    revision: Annotated[int | None, Query(ge=1, le=telling.LAST, description="Only of this change.")] = None,
    state: Annotated[
        StateQuery | None, Query(description="Only who has a delivery in this state; `held`: what nobody is told yet.")
    ] = None,
    person: Annotated[EmailAddress | None, Query(description="Only what this person was told.")] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> DeliveryList:
    """For the organizer: who was told what, on which type of channel, in which state, and why not. Newest change first.

    Whether somebody has read it, where their channels lead and how they have set them up is not the organizer's to see.
    """
    access = await reading.access(connection, event_id, caller)
    if access["organizer_id"] != caller.account_id:
        raise forbidden("Only the organizer may see who was told.")
    before = decode(cursor, revision_of, UUID) if cursor is not None else (telling.LAST, telling.NONE)
    asked = telling.Asked(state=state, revision=revision, email=person, before=(before[0], before[1]))
    statement, values = asked.statement(event_id, limit + 1)
    found = telling.grouped((await connection.execute(statement, values)).mappings().all())
    return DeliveryList(
        items=[item for _, item in found[:limit]],
        next_cursor=encode(*found[limit - 1][0]) if len(found) > limit else None,
    )
