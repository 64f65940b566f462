"""The statements that read events to be written as iCalendar. Who sees an event is decided in them (I7), and what is
read of it is what `exporting` may show to that reader.

`version` says without reading them whether they are still the same: each change raises an event's revision, and what is
not the event's (what its organizer is called) is in it too.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from planner_common.models import accounts, calendars
from planner_common.tokens import CALENDAR_PREFIX, digest, looks_genuine
from pydantic_core import from_json
from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.calendars.exporting import Exported
from planner_api.errors import not_found
from planner_api.events.reading import MINE, NAMED, ORGANIZER, SEEN

SHAPE = "1"
"""To be raised when something else is made of the same events: what clients have is outdated then."""
MAX_EVENTS, MAX_OCTETS = 10_000, 30_000_000
"""What one calendar holds: the events that begin last."""
MAX_PEOPLE = 200
"""Participants of one event that a calendar to subscribe to names: the reader, and those who came first."""
CANCELLED_STAY = timedelta(days=30)
"""How long a calendar to subscribe to shows that an event was cancelled."""
EVERYBODY = 10_000_000

MY_EVENTS = """
    SELECT id FROM events WHERE organizer_id = :account
     UNION
    SELECT event_id FROM participants WHERE person_id = :person AND until_change IS NULL
"""
THESE = "SELECT unnest(CAST(:events AS uuid[])) AS id"
NEWEST = f"WHERE octets <= {MAX_OCTETS} ORDER BY starts_at DESC, id LIMIT {MAX_EVENTS}"
STILL_TOLD = "AND (e.status <> 'cancelled' OR e.updated_at > now() - CAST(:cancelled_stay AS interval))"

# A UID is unique among the events of one organizer; in a calendar it must be so too, and the reader's own come first.
CHOSEN = f"""
    WITH found AS ({{found}}), seen AS (
        SELECT e.id, e.starts_at, mine.response, {NAMED},
               concat_ws(E'\\n', e.id, e.revision, extract(epoch FROM e.updated_at), organizer.name, organizer.email)
                   AS mark,
               row_number() OVER (PARTITION BY e.uid ORDER BY e.organizer_id <> :account, e.id) AS same_uid,
               sum(500 + COALESCE(octet_length(e.description), 0) + COALESCE(octet_length(e.source), 0))
                   OVER (ORDER BY e.starts_at DESC, e.id) AS octets
          FROM found JOIN events e ON e.id = found.id {ORGANIZER} {MINE}
         WHERE {SEEN} {{told}}
    ), chosen AS MATERIALIZED (
        SELECT * FROM seen {{newest}}
    )
"""
VERSION = "SELECT encode(sha256(convert_to(string_agg(mark, E'\\n' ORDER BY id), 'UTF8')), 'hex') FROM chosen"
DIGITS = """'YYYYMMDD"T"HH24MISS'"""
INSTANT = """'YYYYMMDD"T"HH24MISS"Z"'"""
# In the order of `Exported`.
COLUMNS = f"""
    e.id, CASE same_uid WHEN 1 THEN e.uid ELSE CAST(e.id AS text) END, e.title, e.description, e.location, e.url,
    e.status, to_char(e.start_wall, {DIGITS}), e.start_zone, to_char(e.end_wall, {DIGITS}), e.end_zone,
    e.reminders, e.recurrence, e.sequence, e.source, e.edited,
    to_char(e.created_at AT TIME ZONE 'UTC', {INSTANT}), to_char(e.updated_at AT TIME ZONE 'UTC', {INSTANT}),
    organizer_name, organizer_email, e.organizer_id = :account, response, (
        SELECT CAST(json_agg(json_build_array(email, name, role, response)) AS text) FROM (
            SELECT email, name, role, response FROM participants
             WHERE event_id = e.id AND until_change IS NULL
             ORDER BY person_id <> :person, since_change, id LIMIT CAST(:people AS int)
        ) p
    ), ({VERSION})
"""
EVENTS = f"{{chosen}} SELECT {COLUMNS} FROM chosen JOIN events e ON e.id = chosen.id ORDER BY chosen.starts_at, e.id"

MINE_NOW = CHOSEN.format(found=MY_EVENTS, told=STILL_TOLD, newest=NEWEST)
MY_VERSION, ALL_OF_MINE = text(MINE_NOW + VERSION), text(EVENTS.format(chosen=MINE_NOW))
SOME = text(EVENTS.format(chosen=CHOSEN.format(found=THESE, told="", newest="")))


async def find(connection: AsyncConnection, token: str) -> Row[Any, Any, Any]:
    """The calendar of a secret address, with its account and person. 404 for what is none, or none any more."""
    wanted = (
        select(calendars.c.name, calendars.c.account_id, accounts.c.person_id)
        .join(accounts, accounts.c.id == calendars.c.account_id)
        .where(calendars.c.token_hash == digest(token))
    )
    found = (await connection.execute(wanted)).one_or_none() if looks_genuine(token, CALENDAR_PREFIX) else None
    if found is None:
        raise not_found("calendar")
    return found


async def version(connection: AsyncConnection, account: UUID, person: UUID) -> str:
    """Another one, if anything in a person's calendar is."""
    values = {"account": account, "person": person, "cancelled_stay": CANCELLED_STAY}
    return await connection.scalar(MY_VERSION, values) or ""


async def of_person(connection: AsyncConnection, account: UUID, person: UUID) -> tuple[str, Iterator[Exported]]:
    """All events that somebody organizes or takes part in, by start, and their version."""
    values = {"account": account, "person": person, "people": MAX_PEOPLE, "cancelled_stay": CANCELLED_STAY}
    rows = (await connection.execute(ALL_OF_MINE, values)).all()
    return _version(rows), map(_exported, rows)


async def some(
    connection: AsyncConnection, account: UUID, person: UUID, events: Iterable[UUID], people: int = EVERYBODY
) -> tuple[str, list[Exported]]:
    """Those of these events that somebody sees, with up to `people` of those in each, and their version."""
    values = {"account": account, "person": person, "people": people, "events": list(events)}
    rows = (await connection.execute(SOME, values)).all()
    return _version(rows), [_exported(row) for row in rows]


def _version(rows: Sequence[Row[Any]]) -> str:
    return str(rows[0][-1]) if rows else ""


def _exported(row: Iterable[Any]) -> Exported:
    *columns, people, _ = row
    return Exported._make([*columns, from_json(people) if people else []])
