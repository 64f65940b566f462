"""What else keeps the caller busy at the time of an event."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from planner_common.moments import Moment
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.dependencies import Caller
from planner_api.free_busy.asking import Occupied, calendars, placed

LOOKED_AT = timedelta(days=62)
"""How much of a long event is looked at."""
LISTED = 20


async def conflicts(
    connection: AsyncConnection, caller: Caller, start: Moment, end: Moment, *, besides: UUID | None = None
) -> list[Occupied]:
    """The first of the caller's events that overlap one from `start` to `end`, from now on; `besides` is that one.

    What the caller has declined, and what is cancelled, conflicts with nothing.
    """
    begin = max(start.instant, datetime.now(UTC))
    until = min(end.instant, begin + LOOKED_AT)
    if until <= begin:
        return []
    mine = (await calendars(connection, caller, [caller.person_id], begin, until)).get(caller.person_id)
    if mine is None:
        return []
    if start.zone is None:
        begin, until = placed(begin, mine.time_zone), placed(until, mine.time_zone)
    found = [
        one for one in mine.occupied if one.event_id != besides and one.busy.start < until and begin < one.busy.end
    ]
    return sorted(found, key=lambda one: (one.busy, one.event_id))[:LISTED]
