"""When an event takes place."""

from datetime import datetime
from itertools import islice
from typing import Annotated
from uuid import UUID

from fastapi import Query
from planner_common.recurrence import MAX_SPAN

from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import invalid, problems
from planner_api.events import reading
from planner_api.events.state import State
from planner_api.pagination import CursorQuery, LimitQuery, aware, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.occurrences import OccurrenceList, OccurrenceOut
from planner_api.schemas.times import InstantIn

router = make_router("events")


def wall(value: str) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=None)


@router.get("/events/{event_id}/occurrences", responses=problems(401, 403, 404))
async def list_occurrences(
    event_id: UUID,
    caller: CallerDep,
    connection: ConnectionDep,
    begin: Annotated[InstantIn, Query(alias="from", description="Only what ends after this instant.")],
    end: Annotated[
        InstantIn,
        Query(alias="to", description=f"Only what starts before this instant, at most {MAX_SPAN.days} days later."),
    ],
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> OccurrenceList:
    """The occurrences of an event, by start; of one that does not repeat, itself."""
    row = await reading.one(connection, event_id, caller)
    if end - begin > MAX_SPAN:
        raise invalid("/query/to", f"must be at most {MAX_SPAN.days} days after `from`: ask for less at a time")
    after = decode(cursor, aware, wall) if cursor is not None else None
    # A page is computed from where the one before ended.
    found = State.of(row).series().between(max(begin, after[0]) if after else begin, end)
    page = list(islice((one for one in found if after is None or one.place > after), limit + 1))
    last = page[limit - 1] if len(page) > limit else None
    return OccurrenceList(
        items=[OccurrenceOut.of(one) for one in page[:limit]],
        next_cursor=encode(*(part.isoformat() for part in last.place)) if last else None,
    )
