"""The statements that read events. Who sees an event is decided in each of them (I7): its organizer and those in it."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from planner_common.moments import Moment
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import Row, fetch
from planner_api.dependencies import Caller
from planner_api.errors import Problem, forbidden, not_found

# The caller's part in event `e`, `mine`, and whether they see it at all.
MINE = """
    LEFT JOIN participants mine
      ON mine.event_id = e.id AND mine.person_id = :person AND mine.until_change IS NULL
"""
SEEN = "e.deleted_at IS NULL AND (e.organizer_id = :account OR mine.id IS NOT NULL)"

COUNTED = ("needs_action", "accepted", "declined", "tentative", "waiting")
COUNTS = """
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE p.response = 'needs_action') AS needs_action,
               count(*) FILTER (WHERE p.response = 'accepted') AS accepted,
               count(*) FILTER (WHERE p.response = 'declined') AS declined,
               count(*) FILTER (WHERE p.response = 'tentative' AND p.waiting_since IS NULL) AS tentative,
               count(*) FILTER (WHERE p.waiting_since IS NOT NULL) AS waiting
          FROM participants p WHERE p.event_id = e.id AND p.until_change IS NULL
    ) counts
"""
# Not `source`, which may be long and is nobody's business.
EVENT = """
    e.id, e.uid, e.organizer_id, e.title, e.description, e.location, e.url, e.status, e.all_day,
    e.start_wall, e.start_zone, e.end_wall, e.end_zone, e.starts_at, e.ends_at, e.reminders, e.capacity, e.recurrence,
    e.revision, e.created_at, e.updated_at"""
ORGANIZER = "JOIN accounts organizer ON organizer.id = e.organizer_id"
NAMED = "organizer.name AS organizer_name, organizer.email AS organizer_email"
SHOWN = f"{EVENT}, {NAMED}, mine.response AS my_response"

ACCESS_OF = f"""
    SELECT e.revision, e.updated_at, e.organizer_id, {NAMED}, mine.response AS my_response
      FROM events e {ORGANIZER} {MINE} WHERE e.id = :event AND {SEEN}
"""
ACCESS = text(ACCESS_OF)
OF_ASKED = re.sub(":(event|account|person)", r"asked.\1", ACCESS_OF)
# For many at once, each by its indexes: hence LATERAL and LIMIT.
ACCESSES = f"""
    SELECT seen.*
      FROM ROWS FROM (unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]))
               WITH ORDINALITY AS asked (event, account, person, position)
      LEFT JOIN LATERAL ({OF_ASKED} LIMIT 1) seen ON true
     ORDER BY asked.position
"""
ONE = text(f"SELECT {SHOWN}, counts.* FROM events e {ORGANIZER} {MINE} {COUNTS} WHERE e.id = :event AND {SEEN}")
LOCK = text(f"SELECT {EVENT} FROM events e {MINE} WHERE e.id = :event AND {SEEN} FOR UPDATE OF e")


def _of(caller: Caller) -> dict[str, Any]:
    return {"account": caller.account_id, "person": caller.person_id}


async def access(connection: AsyncConnection, event: UUID, caller: Caller) -> RowMapping:
    """The event's revision, and what of its answer depends on other things. 404 for an outsider."""
    found = (await connection.execute(ACCESS, {"event": event, **_of(caller)})).mappings().one_or_none()
    if found is None:
        raise not_found("event")
    return found


async def accesses(connection: AsyncConnection, asked: Sequence[tuple[UUID, Caller]]) -> Sequence[Row]:
    """The same of many events, each for a caller; nothing but None for an outsider."""
    events = [event for event, _ in asked]
    accounts, people = zip(*((caller.account_id, caller.person_id) for _, caller in asked), strict=True)
    return await fetch(connection, ACCESSES, events, accounts, people)


async def one(connection: AsyncConnection, event: UUID, caller: Caller) -> RowMapping:
    """All that `shown` needs. 404 for an outsider."""
    found = (await connection.execute(ONE, {"event": event, **_of(caller)})).mappings().one_or_none()
    if found is None:
        raise not_found("event")
    return found


async def lock(connection: AsyncConnection, event: UUID, caller: Caller) -> RowMapping:
    """The event's row, kept from changing until the transaction ends. 404 for an outsider.

    What else belongs to the event must be read after this, by another statement: one that waited here for the lock
    still sees the rest of the database as it was before.
    """
    found = (await connection.execute(LOCK, {"event": event, **_of(caller)})).mappings().one_or_none()
    if found is None:
        raise not_found("event")
    return found


async def lock_as_organizer(
    connection: AsyncConnection, event: UUID, caller: Caller, if_match: str | None = None, *, must_match: bool = False
) -> RowMapping:
    """`lock`, and 403 for who only takes part; 412 when `if_match` does not name the revision, 428 when it must."""
    found = await lock(connection, event, caller)
    if found["organizer_id"] != caller.account_id:
        raise forbidden("Only the organizer may do this.")
    if if_match is None and must_match:
        raise Problem(
            428,
            "if-match-missing",
            "If-Match is missing",
            "Say in If-Match which ETag of the event this change is for.",
        )
    if if_match is not None and not matches(if_match, found["revision"]):
        raise Problem(
            412,
            "stale",
            "The event has changed",
            f"If-Match is {if_match}, the event's ETag is {etag(found['revision'])} now: get it again.",
        )
    return found


ACCEPTED = text(
    "SELECT count(*) FROM participants WHERE event_id = :event AND until_change IS NULL AND response = 'accepted'"
)


async def accepted(connection: AsyncConnection, event: UUID) -> int:
    """How many have accepted. Only under the event's lock is that still so when it is acted upon."""
    return int((await connection.execute(ACCEPTED, {"event": event})).scalar_one())


STATUS_BEFORE = text("""
    SELECT diff->'status'->>0 FROM changes WHERE event_id = :event AND kind = 'cancellation'
     ORDER BY revision DESC LIMIT 1
""")


async def status_before_cancellation(connection: AsyncConnection, event: UUID) -> str:
    """What a cancelled event was before; confirmed, if it was imported as cancelled."""
    before: str | None = (await connection.execute(STATUS_BEFORE, {"event": event})).scalar()
    return before or "confirmed"


def etag(revision: int) -> str:
    return f'"{revision}"'


def names(condition: str, tag: str, *, weak: bool = False) -> bool:
    """Whether an `If-Match`, or (`weak`) an `If-None-Match`, names this ETag (RFC 9110 §8.8.3.2)."""
    tags = [given.strip().removeprefix("W/" if weak else "") for given in condition.split(",")]
    return "*" in tags or tag in tags


def matches(condition: str, revision: int, *, weak: bool = False) -> bool:
    """Likewise, of an event's ETag."""
    return names(condition, etag(revision), weak=weak)


def shown(row: Row) -> dict[str, Any]:
    """An event as the API shows it, from a row of `one` or of `listed`."""
    return {
        "id": row["id"],
        "uid": row["uid"],
        "title": row["title"],
        "description": row["description"],
        "location": row["location"],
        "url": row["url"],
        "status": row["status"],
        "start": Moment(row["start_wall"], row["start_zone"]).shown(),
        "end": Moment(row["end_wall"], row["end_zone"]).shown(),
        "starts_at": row["starts_at"],
        "ends_at": row["ends_at"],
        "all_day": row["all_day"],
        "reminders": row["reminders"],
        "capacity": row["capacity"],
        "recurrence": row["recurrence"],
        "revision": row["revision"],
        "organizer": {"id": row["organizer_id"], "name": row["organizer_name"], "email": row["organizer_email"]},
        "my_response": row["my_response"],
        "counts": {name: row[name] for name in COUNTED},
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
