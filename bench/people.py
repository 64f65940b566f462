"""People, and events they are in, put into the database at once: the API would take its time to register thousands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from planner_api.tokens import AccessTokens

SIGNING_KEY = "a key for benchmarks, which is long enough"
TOKEN_SECONDS = 24 * 3600

ACCOUNTS = """
    INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
    SELECT gen_random_uuid(), 'person-' || uuidv7() || '@example.org', 'Person ' || n, 'UTC', 'en', ''
      FROM generate_series(1, %s) n
    RETURNING id, person_id, email
"""
EVENT = """
    INSERT INTO events (uid, organizer_id, title, all_day, start_wall, start_zone, end_wall, end_zone,
                        starts_at, ends_at)
    VALUES (uuidv7(), %s, 'Fair', false, '2030-05-01 10:00', 'UTC', '2030-05-01 11:00', 'UTC',
            '2030-05-01 10:00Z', '2030-05-01 11:00Z')
    RETURNING id
"""
GUESTS = """
    INSERT INTO participants (event_id, person_id, email, since_change)
    SELECT %s, gen_random_uuid(), 'guest-' || n || '@example.org', 0 FROM generate_series(1, %s) n
"""
PARTICIPANTS = """
    INSERT INTO participants (event_id, person_id, email, since_change)
    SELECT %s, person.id, person.email, 0 FROM unnest(%s::uuid[], %s::text[]) person (id, email)
"""
CHANGE = """
    INSERT INTO changes (event_id, revision, kind, actor, audience_size)
    SELECT %(event)s, COALESCE(max(revision), 1) + 1, 'update', %(actor)s, %(people)s
      FROM changes WHERE event_id = %(event)s
    RETURNING id
"""


@dataclass(frozen=True)
class Someone:
    """An account, which nobody can log in to; who has its token is it."""

    account_id: UUID
    person_id: UUID
    email: str

    @property
    def bearer(self) -> str:
        """For the header Authorization."""
        return f"Bearer {AccessTokens(SIGNING_KEY, TOKEN_SECONDS).issue(self.account_id, self.person_id)}"


class World:
    """What a benchmark's database holds."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        self.database = database

    def people(self, number: int) -> list[Someone]:
        return [Someone(*row) for row in self.database.execute(ACCOUNTS, [number]).fetchall()]

    def event(self, organizer: Someone, participants: Sequence[Someone] = (), guests: int = 0) -> UUID:
        """An event with these people in it, and so many who have no account."""
        event: UUID = self._one(EVENT, [organizer.account_id])
        ids, emails = [one.person_id for one in participants], [one.email for one in participants]
        self.database.execute(PARTICIPANTS, [event, ids, emails])
        self.database.execute(GUESTS, [event, guests])
        self.database.execute("VACUUM ANALYZE participants")
        return event

    def change(self, event: UUID, actor: Someone, people: int) -> int:
        """Commit a change that so many are to be told of, and wake the dispatcher as the API does."""
        with self.database.transaction():
            change: int = self._one(CHANGE, {"event": event, "actor": actor.person_id, "people": people})
            self.database.execute("NOTIFY planner_changes")
        return change

    def clear(self) -> None:
        """Whoever is measured begins with no notifications, and with nothing left to be written to disk."""
        self.database.execute("TRUNCATE notifications")
        self.database.execute("CHECKPOINT")

    def _one(self, statement: str, values: Any) -> Any:
        row = self.database.execute(statement, values).fetchone()
        assert row is not None
        return row[0]
