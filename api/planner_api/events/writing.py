"""The statements that make events and change their state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg.exceptions import PostgresError
from planner_common.changes import Kind
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import Row, fetch, is_away
from planner_api.events.people import ENDS_AT, Person
from planner_api.events.reading import EVENT, NAMED, ORGANIZER
from planner_api.events.recording import AUTHOR_COLUMNS, LOG, LOGGED, LOGGED_EACH, Author, encoded
from planner_api.events.state import State

STATE_COLUMNS = """
    title text, description text, location text, url text, status text, all_day boolean,
    start_wall timestamp, start_zone text, end_wall timestamp, end_zone text,
    starts_at timestamptz, ends_at timestamptz, reminders int[], capacity int, recurrence text[], over_at timestamptz"""
STATE_NAMES = (
    "title, description, location, url, status, all_day, start_wall, start_zone, end_wall, end_zone, "
    "starts_at, ends_at, reminders, capacity, recurrence, over_at"
)


def named(columns: str) -> str:
    """The names of columns, of those with their types."""
    return ", ".join(column.split()[0] for column in columns.split(", "))


CREATE = f"""
    WITH input AS MATERIALIZED (
        SELECT uuidv7() AS id, i.*
          FROM ROWS FROM (
                   jsonb_to_recordset(CAST(CAST($1 AS text) AS jsonb))
                       AS (uid text, source text, people jsonb, {AUTHOR_COLUMNS}, {STATE_COLUMNS})
               ) WITH ORDINALITY AS i (uid, source, people, {named(AUTHOR_COLUMNS)}, {STATE_NAMES}, position)
    ), event AS (
        INSERT INTO events (id, uid, source, organizer_id, {STATE_NAMES})
        SELECT id, COALESCE(uid, CAST(id AS text)), source, organizer, {STATE_NAMES} FROM input
        RETURNING *
    ), change AS (
        INSERT INTO changes ({LOG})
        SELECT id, 1, '{Kind.CREATION}', {
    LOGGED_EACH.format(diff="'{}'", audience="jsonb_array_length(people)")
} FROM input
        RETURNING id, event_id
    ), participant AS (
        INSERT INTO participants (event_id, person_id, email, name, role, since_change, ends_at)
        SELECT change.event_id, p.person_id, p.email, p.name, p.role, change.id, {
    ENDS_AT.format(added="jsonb_array_length(input.people)", end="COALESCE(input.over_at, input.ends_at)")
}
          FROM change JOIN input ON input.id = change.event_id
         CROSS JOIN jsonb_to_recordset(input.people) AS p (person_id uuid, email text, name text, role text)
    )
    SELECT {EVENT}, {NAMED}, change.id AS change_id
      FROM input JOIN event e ON e.id = input.id JOIN change ON change.event_id = e.id {ORGANIZER}
     ORDER BY input.position
"""


@dataclass(frozen=True, slots=True)
class NewEvent:
    state: State
    people: Sequence[Person] = ()
    uid: str | None = None
    """None: the event's own id."""
    source: str | None = None

    def columns(self) -> dict[str, Any]:
        people = [person.columns() for person in self.people]
        return {**self.state.columns(), "uid": self.uid, "source": self.source, "people": people}


async def create(connection: AsyncConnection, events: Sequence[NewEvent], author: Author) -> Sequence[Row]:
    """Write new events with those in them, in a transaction. The rows are what `reading.shown` takes, but for the
    counts."""
    rows = await fetch(connection, CREATE, await _encoded((event, author) for event in events))
    author.made.extend((row["change_id"], row["id"]) for row in rows)
    return rows


async def create_each(
    connection: AsyncConnection, asked: Sequence[tuple[NewEvent, Author]]
) -> Sequence[Row | Exception]:
    """Write new events of several authors, which are committed by then. If there is something wrong with one of them,
    the others are written nevertheless."""
    try:
        return await fetch(connection, CREATE, await _encoded(asked))
    except PostgresError as error:
        if len(asked) == 1 or is_away(error):
            raise
    return [await _create_alone(connection, event, author) for event, author in asked]


async def _create_alone(connection: AsyncConnection, event: NewEvent, author: Author) -> Row | Exception:
    try:
        return (await fetch(connection, CREATE, await _encoded([(event, author)])))[0]
    except PostgresError as error:
        return error


async def _encoded(asked: Iterable[tuple[NewEvent, Author]]) -> str:
    return await encoded({**event.columns(), **author.columns()} for event, author in asked)


# To those in it, so that they ought to look again (RFC 5546 §2.1.4): not what is the organizer's own business.
MATTERS = f"""(
    i.kind IN ('{Kind.RESCHEDULE}', '{Kind.CANCELLATION}', '{Kind.RESTORATION}')
    OR i.kind = '{Kind.UPDATE}' AND (i.diff = '{{}}' OR i.diff - ARRAY['reminders', 'capacity'] <> '{{}}')
)"""
UPDATE = text(f"""
    WITH input AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:events AS jsonb))
                   AS i (id uuid, kind text, diff jsonb, source text, {STATE_COLUMNS})
    ), event AS (
        UPDATE events e
           SET ({STATE_NAMES}) = ROW (
                   {", ".join("i." + name for name in STATE_NAMES.split(", "))}
               ),
               source = COALESCE(i.source, e.source),
               edited = CASE WHEN i.source IS NULL AND e.source IS NOT NULL THEN ARRAY(
                   SELECT jsonb_object_keys(i.diff) UNION SELECT unnest(e.edited)
               ) ELSE '{{}}' END,
               sequence = e.sequence + CAST({MATTERS} AS int),
               deleted_at = CASE WHEN i.kind = '{Kind.DELETION}' THEN now() END,
               revision = e.revision + 1,
               updated_at = now()
          FROM input i
         WHERE e.id = i.id
        RETURNING e.id, e.revision, i.kind, i.diff
    )
    INSERT INTO changes ({LOG})
    SELECT event.id, event.revision, event.kind, {
    LOGGED.format(
        diff="event.diff",
        audience='''CASE WHEN :notify THEN (
               SELECT count(*) FROM participants p WHERE p.event_id = event.id AND p.until_change IS NULL
           ) ELSE 0 END''',
    )
} FROM event
    RETURNING id, event_id
""")

# `participants.ends_at` may be later than the event's end, never before it.
FOLLOW = text("""
    UPDATE participants p SET ends_at = COALESCE(e.over_at, e.ends_at) FROM events e
     WHERE e.id = ANY(:events) AND p.event_id = e.id AND p.until_change IS NULL
       AND p.ends_at < COALESCE(e.over_at, e.ends_at)
""")


@dataclass(frozen=True, slots=True)
class Update:
    """What an event becomes. `source` is the new iCalendar text, where that is what changed it."""

    id: UUID
    kind: Kind
    state: State
    diff: Mapping[str, Any]
    source: str | None = None

    def columns(self) -> dict[str, Any]:
        return {
            **self.state.columns(),
            "id": str(self.id),
            "kind": self.kind,
            "diff": dict(self.diff),
            "source": self.source,
        }


async def update(connection: AsyncConnection, updates: Sequence[Update], author: Author) -> None:
    """Give events, each named once, a new state; each is one change. What is locked by the caller, and not deleted."""
    events = await encoded(update.columns() for update in updates)
    made = await connection.execute(UPDATE, {"events": events, **author.parameters()})
    author.made.extend((change, event) for change, event in made)
    if moved := [update.id for update in updates if {"end", "recurrence"} & update.diff.keys()]:
        await connection.execute(FOLLOW, {"events": moved})
