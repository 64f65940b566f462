"""The statements about who is in an event: inviting, taking out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from planner_common.changes import Kind
from planner_common.people import person_id
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.events.recording import LOG, LOGGED, Author, encoded


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


CROWD = 100
"""More participants than so many are a crowd: they do not meet each other."""
ENDS_AT = f"CASE WHEN {{added}} > {CROWD} THEN timestamptz '9999-12-31 00:00+00' ELSE {{end}} END"
"""What `participants.ends_at` begins with. More people than a crowd, added at once, are never passed over: the event is
one row more for each of them, and to move it to a later end must not write a row for each."""

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
        RETURNING e.id, e.revision, COALESCE(e.over_at, e.ends_at) AS ends_at, new.added
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
        INSERT INTO participants (event_id, person_id, email, name, role, since_change, ends_at)
        SELECT person.event_id, person.person_id, person.email, person.name, person.role, change.id,
               {ENDS_AT.format(added="event.added", end="event.ends_at")}
          FROM person JOIN change ON change.event_id = person.event_id JOIN event ON event.id = person.event_id
         ORDER BY person.position
    )
    SELECT event.id, added, change.id AS change_id FROM event JOIN change ON change.event_id = event.id
""")


async def invite(
    connection: AsyncConnection, people: Mapping[UUID, Sequence[Person]], author: Author
) -> dict[UUID, int]:
    """Add people to events, each event's as one change, and say how many were new to which event.

    Who is in an event already is left alone, and an event that nobody is new to does not change.
    """
    rows = ({"event_id": str(event), **person.columns()} for event, those in people.items() for person in those)
    added = (await connection.execute(INVITE, {"people": await encoded(rows), **author.parameters()})).all()
    author.made.extend((row.change_id, row.id) for row in added)
    return {row.id: row.added for row in added}


REMOVE = text(f"""
    WITH event AS (
        UPDATE events SET revision = revision + 1, updated_at = now() WHERE id = :event RETURNING id, revision
    ), change AS (
        INSERT INTO changes ({LOG})
        SELECT id, revision, '{Kind.REMOVAL}', {LOGGED.format(diff="CAST(:diff AS jsonb)", audience="1")} FROM event
        RETURNING id
    )
    UPDATE participants SET until_change = change.id FROM change WHERE participants.id = :participant
    RETURNING change.id
""")


async def remove(connection: AsyncConnection, event: UUID, participant: UUID, shown: str, author: Author) -> None:
    """Take somebody out of an event; `shown` is how the history calls them."""
    diff = json.dumps({"removed": [shown]})
    values = {"event": event, "participant": participant, "diff": diff, **author.parameters()}
    author.made.append(((await connection.execute(REMOVE, values)).scalar_one(), event))
