"""The statements that change events. Each writes the event and its entry in the change log at once (I1).

All of them are set-based: one event or a thousand, it is one round trip. An event that exists is locked by the caller
first (`reading.lock`), so that ids of changes are in the order of their commits.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from planner_common.changes import Kind
from planner_common.people import person_id
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.events.reading import EVENT, NAMED, ORGANIZER
from planner_api.events.state import State
from planner_api.turns import taking_turns


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, in which request, and whether people are to be told of it."""

    account_id: UUID
    person_id: UUID
    notify: bool
    request_id: str | None

    def parameters(self) -> dict[str, Any]:
        return {"actor": self.person_id, "notify": self.notify, "request_id": self.request_id}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be in an event."""

    email: str
    name: str | None = None
    role: str = "required"

    def columns(self) -> dict[str, Any]:
        return {"person_id": str(person_id(self.email)), "email": self.email, "name": self.name, "role": self.role}


def distinct(people: Iterable[Person]) -> list[Person]:
    """Every address once. Who is named twice comes as first named."""
    found: dict[str, Person] = {}
    for person in people:
        found.setdefault(person.email, person)
    return list(found.values())


async def encoded(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON for a statement."""
    return f"[{','.join([json.dumps(row) async for row in taking_turns(rows)])}]"


STATE_COLUMNS = """
    title text, description text, location text, url text, status text, all_day boolean,
    start_wall timestamp, start_zone text, end_wall timestamp, end_zone text,
    starts_at timestamptz, ends_at timestamptz, reminders int[], capacity int"""
STATE_NAMES = (
    "title, description, location, url, status, all_day, start_wall, start_zone, end_wall, end_zone, "
    "starts_at, ends_at, reminders, capacity"
)
LOG = "event_id, revision, kind, actor, diff, notify, request_id, audience_size, fanned_out_at"
# A change of which nobody is told has nothing to fan out.
LOGGED = "CAST(:actor AS uuid), {diff}, :notify, :request_id, {audience}, CASE WHEN :notify THEN NULL ELSE now() END"

CREATE = text(f"""
    WITH input AS MATERIALIZED (
        SELECT uuidv7() AS id, i.*
          FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS i (uid text, source text, people jsonb, {STATE_COLUMNS})
    ), event AS (
        INSERT INTO events (id, uid, source, organizer_id, {STATE_NAMES})
        SELECT id, COALESCE(uid, CAST(id AS text)), source, CAST(:organizer AS uuid), {STATE_NAMES} FROM input
        RETURNING *
    ), change AS (
        INSERT INTO changes ({LOG})
        SELECT id, 1, '{Kind.CREATION}', {LOGGED.format(diff="'{}'", audience="jsonb_array_length(people)")} FROM input
        RETURNING id, event_id
    ), participant AS (
        INSERT INTO participants (event_id, person_id, email, name, role, since_change)
        SELECT change.event_id, p.person_id, p.email, p.name, p.role, change.id
          FROM change JOIN input ON input.id = change.event_id
         CROSS JOIN jsonb_to_recordset(input.people) AS p (person_id uuid, email text, name text, role text)
    )
    SELECT {EVENT}, {NAMED} FROM event e {ORGANIZER}
""")


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


async def create(connection: AsyncConnection, events: Sequence[NewEvent], author: Author) -> CursorResult[Any]:
    """Write new events with those in them. The rows are what `reading.shown` takes, but for the counts."""
    return await connection.execute(
        CREATE,
        {
            "events": await encoded(event.columns() for event in events),
            "organizer": author.account_id,
            **author.parameters(),
        },
    )


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
    await connection.execute(UPDATE, {"events": events, **author.parameters()})


INVITE = text(f"""
    WITH person AS MATERIALIZED (
        SELECT p.*
          FROM ROWS FROM (
                   jsonb_to_recordset(CAST(:people AS jsonb))
                       AS (event_id uuid, person_id uuid, email text, name text, role text)
               ) WITH ORDINALITY AS p (event_id, person_id, email, name, role, position)
         WHERE NOT EXISTS (
             SELECT FROM participants there
              WHERE there.event_id = p.event_id AND there.person_id = p.person_id AND there.until_change IS NULL
         )
    ), event AS (
        UPDATE events e
           SET revision = e.revision + 1, updated_at = now()
          FROM (SELECT event_id, count(*) AS added FROM person GROUP BY event_id) new
         WHERE e.id = new.event_id
        RETURNING e.id, e.revision, new.added
    ), change AS (
        INSERT INTO changes ({LOG})
        SELECT id, revision, '{Kind.INVITATION}', {
    LOGGED.format(
        diff="jsonb_build_object('participants', jsonb_build_object('added', added))",
        audience="added",
    )
} FROM event
        RETURNING id, event_id
    ), participant AS (
        INSERT INTO participants (event_id, person_id, email, name, role, since_change)
        SELECT person.event_id, person.person_id, person.email, person.name, person.role, change.id
          FROM person JOIN change ON change.event_id = person.event_id
         ORDER BY person.position
    )
    SELECT id, added FROM event
""")


async def invite(
    connection: AsyncConnection, people: Mapping[UUID, Sequence[Person]], author: Author
) -> dict[UUID, int]:
    """Add people to events, each event's as one change, and say how many were new to which event.

    Who is in an event already is left alone, and an event that nobody is new to does not change.
    """
    rows = ({"event_id": str(event), **person.columns()} for event, those in people.items() for person in those)
    added = await connection.execute(INVITE, {"people": await encoded(rows), **author.parameters()})
    return {row.id: row.added for row in added}


# Both begin a statement about one event and leave `change`, of one row.
TOUCH = f"""
    WITH event AS (
        UPDATE events SET revision = revision + 1, updated_at = now() WHERE id = :event RETURNING id, revision
    ), change AS (
        INSERT INTO changes ({LOG})
        SELECT id, revision, '{{kind}}', {LOGGED.format(diff="CAST(:diff AS jsonb)", audience="1")} FROM event
        RETURNING id
    )
"""
REMOVE = text(
    TOUCH.format(kind=Kind.REMOVAL)
    + "UPDATE participants SET until_change = change.id FROM change WHERE participants.id = :participant"
)
RESPOND = text(
    TOUCH.format(kind=Kind.RESPONSE)
    + """
    UPDATE participants SET response = CAST(:response AS text), comment = :comment,
           responded_at = CASE WHEN CAST(:response AS text) <> 'needs_action' THEN now() END
      FROM change WHERE participants.id = :participant
    RETURNING participants.*
    """
)


async def remove(connection: AsyncConnection, event: UUID, participant: UUID, shown: str, author: Author) -> None:
    """Take somebody out of an event; `shown` is how the history calls them."""
    diff = json.dumps({"removed": [shown]})
    await connection.execute(REMOVE, {"event": event, "participant": participant, "diff": diff, **author.parameters()})


async def respond(
    connection: AsyncConnection,
    event: UUID,
    participant: UUID,
    response: str,
    comment: str | None,
    diff: Mapping[str, Any],
    author: Author,
) -> CursorResult[Any]:
    """Write a participant's answer, and return the participant."""
    return await connection.execute(
        RESPOND,
        {
            "event": event,
            "participant": participant,
            "response": response,
            "comment": comment,
            "diff": json.dumps(dict(diff)),
            **author.parameters(),
        },
    )
