"""When people are busy, of whom the caller may ask it: one statement, whoever and however many they are.

May be asked: oneself; and who meets the caller, unless they want it otherwise. Two meet in an event that is not long
over and is no crowd, and that the one who is asked organizes or has agreed to come to: to invite somebody is not
enough, or anybody could be asked by whoever knows an address. See docs/decisions/0020-whom-one-may-ask.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from planner_common.moments import Moment
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.dependencies import Caller
from planner_api.events.people import CROWD
from planner_api.free_busy.intervals import Busy, BusyType
from planner_api.turns import taking_turns

MET_FOR = timedelta(days=30)
"""How long after an event those in it have met."""
ONE_DAY = timedelta(days=1)
"""More than a whole day in somebody's zone can begin before, or end after, the same day in UTC."""

TAKES_PLACE = "e.deleted_at IS NULL AND e.status <> 'cancelled'"
MEETING = f"""
    {TAKES_PLACE} AND e.ends_at > :since AND NOT EXISTS (
        SELECT FROM participants q WHERE q.event_id = e.id AND q.until_change IS NULL OFFSET {CROWD}
    )
"""
OVERLAPS = f"{TAKES_PLACE} AND e.ends_at > :begin AND e.starts_at < :end"
SHOWN = "e.id, e.starts_at, e.ends_at, e.all_day"

# A row for each event that somebody is busy with; for who has none, one without an event. `participants.ends_at` is not
# before the event's end, so that what is over is passed over in the index, however much it is.
OCCUPIED = text(f"""
    WITH mine AS MATERIALIZED (
        SELECT e.id, e.organizer_id FROM events e WHERE e.organizer_id = :account AND {MEETING}
        UNION
        SELECT e.id, e.organizer_id FROM participants p JOIN events e ON e.id = p.event_id
         WHERE p.person_id = :person AND p.until_change IS NULL AND p.ends_at > :since AND {MEETING}
    ), met AS MATERIALIZED (
        SELECT a.person_id FROM mine JOIN accounts a ON a.id = mine.organizer_id
        UNION
        SELECT p.person_id FROM mine JOIN participants p ON p.event_id = mine.id
         WHERE p.person_id = ANY(CAST(:people AS uuid[])) AND p.until_change IS NULL
           AND p.response IN ('accepted', 'tentative')
    ), asked AS (
        SELECT a.id AS account_id, a.person_id, a.time_zone
          FROM accounts a LEFT JOIN preferences w ON w.person_id = a.person_id
         WHERE a.person_id = ANY(CAST(:people AS uuid[]))
           AND (a.person_id = :person
                OR COALESCE(w.free_busy, 'everyone_i_meet') <> 'nobody'
                   AND a.person_id IN (SELECT person_id FROM met))
    )
    SELECT asked.person_id, asked.time_zone, busy.*
      FROM asked LEFT JOIN LATERAL (
          SELECT {SHOWN}, e.status = 'tentative' OR COALESCE(p.response = 'tentative', false) AS tentative
            FROM events e
            LEFT JOIN participants p
              ON p.event_id = e.id AND p.person_id = asked.person_id AND p.until_change IS NULL
           WHERE e.organizer_id = asked.account_id AND {OVERLAPS} AND p.response IS DISTINCT FROM 'declined'
          UNION ALL
          SELECT {SHOWN}, e.status = 'tentative' OR p.response <> 'accepted' AS tentative
            FROM participants p JOIN events e ON e.id = p.event_id
           WHERE p.person_id = asked.person_id AND p.until_change IS NULL AND p.ends_at > :begin
             AND p.response <> 'declined' AND e.organizer_id <> asked.account_id AND {OVERLAPS}
      ) busy ON true
""")


class Occupied(NamedTuple):
    """When an event keeps somebody busy."""

    event_id: UUID
    busy: Busy


@dataclass(slots=True)
class Calendar:
    """What is known of somebody: their zone, and what they are busy with."""

    time_zone: str
    occupied: list[Occupied] = field(default_factory=list)

    @property
    def busy(self) -> Iterator[Busy]:
        return (one.busy for one in self.occupied)


async def calendars(
    connection: AsyncConnection, caller: Caller, people: Iterable[UUID], begin: datetime, end: datetime
) -> dict[UUID, Calendar]:
    """The calendars of those who may be asked, with all that overlaps what lies between two instants, and perhaps some
    that lies a day beside it. Who may not be asked is missing, as is who has no account: nothing tells them apart."""
    values = {
        "people": list(people),
        "person": caller.person_id,
        "account": caller.account_id,
        "since": datetime.now(UTC) - MET_FOR,
        "begin": begin - ONE_DAY,
        "end": end + ONE_DAY,
    }
    rows: Sequence[Row[Any]] = (await connection.execute(OCCUPIED, values)).all()
    found: dict[UUID, Calendar] = {}
    async for row in taking_turns(rows):
        calendar = found.setdefault(row.person_id, Calendar(row.time_zone))
        if row.id is not None:
            calendar.occupied += (Occupied(row.id, one) for one in occurrences(row, row.time_zone))
    return found


def occurrences(row: Row[Any], time_zone: str) -> Iterator[Busy]:
    """When an event takes place, for somebody in a zone: whole days are theirs. An event that comes once does so once;
    here, and only here, one that recurs would come more often."""
    kind: BusyType = "BUSY-TENTATIVE" if row.tentative else "BUSY"
    start, end = (placed(at, time_zone) if row.all_day else at for at in (row.starts_at, row.ends_at))
    yield Busy(start, end, kind)


def placed(midnight: datetime, time_zone: str) -> datetime:
    """A whole day's midnight, which is stored in UTC, by the clocks of a zone."""
    return Moment(midnight.astimezone(UTC).replace(tzinfo=None), time_zone).instant
