"""What is known after a run, from three sides: what clients were told, what the database holds, what the sink took."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
from planner_common.people import person_id
from psycopg.rows import class_row

from tests.faults.ledger import read

ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class ClientWrite:
    id: str
    actor: UUID
    changes: tuple[tuple[str, frozenset[UUID]], ...]
    """Kinds of change, in order, and who must be told of each."""
    event: UUID | None
    fate: str = "unknown"
    """`acknowledged`, `refused`, or `unknown`: it may have happened or not."""
    revision: int | None = None
    """The event's, after it."""
    status: int | None = None
    """Of HTTP, where it was refused."""
    at: float | None = None
    """When the client was told, in seconds since 1970."""
    mute: bool = False


def client_writes(lines: Iterable[dict[str, Any]]) -> list[ClientWrite]:
    fates = {}
    asked = []
    for line in lines:
        if line["what"] == "asked":
            asked.append(line)
        elif line["what"] in ("acknowledged", "refused"):
            fates[line["id"]] = line
    return [_write(line, fates.get(line["id"], {})) for line in asked]


def _write(line: dict[str, Any], fate: dict[str, Any]) -> ClientWrite:
    event = fate.get("event") or line["event"]
    return ClientWrite(
        line["id"],
        person_id(line["actor"]),
        tuple((kind, frozenset(person_id(email) for email in told)) for kind, told in line["changes"]),
        UUID(event) if event else None,
        fate.get("what", "unknown"),
        fate.get("revision"),
        fate.get("status"),
        fate.get("at"),
        line.get("mute", False),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    id: UUID
    title: str
    organizer: UUID
    """A person."""
    status: str
    ends_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    id: int
    event_id: UUID
    revision: int
    kind: str
    actor: UUID | None
    at: datetime
    notify: bool
    fanned_out_at: datetime | None
    held_at: datetime | None
    lease_until: datetime | None
    email_on: bool
    fields: list[str]
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    event_id: UUID
    person_id: UUID
    email: str
    response: str
    since_change: int
    until_change: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    change_id: int
    person_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    id: UUID
    change_id: int | None
    person_id: UUID
    channel_id: UUID
    purpose: str
    state: str
    reason: str | None
    due_at: datetime
    lease_until: datetime | None
    sending: bool
    message_id: UUID | None
    told_revision: int | None
    outcome_unknown: bool
    finished_at: datetime | None

    @property
    def message(self) -> UUID:
        """The id in the Message-ID of the mail that it went out in."""
        return self.message_id or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    delivery_id: UUID
    number: int
    started_at: datetime
    outcome: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    person_id: UUID
    channel_id: UUID
    kinds: list[str]
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    person_id: UUID
    event_id: UUID
    since: datetime
    until: datetime | None


TABLES: dict[type, str] = {
    Event: """
        SELECT e.id, e.title, a.person_id AS organizer, e.status, e.ends_at, e.deleted_at
          FROM events e JOIN accounts a ON a.id = e.organizer_id
    """,
    Change: """
        SELECT id, event_id, revision, kind, actor, at, notify, fanned_out_at, held_at, lease_until, email_on,
               ARRAY(SELECT jsonb_object_keys(diff)) AS fields, diff->'response'->>1 AS answer
          FROM changes ORDER BY id
    """,
    Participant: "SELECT event_id, person_id, email, response, since_change, until_change FROM participants",
    Notification: "SELECT change_id, person_id FROM notifications",
    Delivery: """
        SELECT id, change_id, person_id, channel_id, purpose, state, reason, due_at, lease_until, sending, message_id,
               told_revision, outcome_unknown, finished_at
          FROM deliveries
    """,
    Attempt: "SELECT delivery_id, number, started_at, outcome, finished_at FROM delivery_attempts",
    Route: "SELECT person_id, channel_id, kinds, since, until FROM routes",
    Mute: "SELECT person_id, event_id, since, until FROM mutes",
}


@dataclass
class Held:
    """What the database holds."""

    now: datetime
    events: dict[UUID, Event]
    changes: dict[int, Change]
    participants: Sequence[Participant]
    notifications: Sequence[Notification]
    deliveries: Sequence[Delivery]
    attempts: Sequence[Attempt]
    routes: Sequence[Route]
    mutes: Sequence[Mute]
    changes_of: dict[UUID, list[Change]] = field(default_factory=lambda: defaultdict(list))
    participants_of: dict[UUID, list[Participant]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for change in sorted(self.changes.values(), key=lambda change: change.id):
            self.changes_of[change.event_id].append(change)
        for participant in self.participants:
            self.participants_of[participant.event_id].append(participant)

    def due(self, change: Change) -> set[UUID]:
        """Who must be told of a change, worked out from who came and went."""
        if not change.notify:
            return set()
        people = self.participants_of[change.event_id]
        found: set[UUID] = set()
        match change.kind:
            case "creation" | "invitation":
                found = {one.person_id for one in people if one.since_change == change.id}
            case "removal":
                found = {one.person_id for one in people if one.until_change == change.id}
            case "update" | "reschedule" | "cancellation" | "restoration":
                found = {
                    one.person_id
                    for one in people
                    if one.since_change < change.id and not (one.until_change and one.until_change <= change.id)
                }
                found.add(self.events[change.event_id].organizer)
            case "response":
                found = {self.events[change.event_id].organizer}
        return found - {change.actor}


def held(connection: psycopg.Connection[Any]) -> Held:
    """Everything, in one snapshot."""
    tables: dict[type, list[Any]] = {}
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        (now,) = connection.execute("SELECT now()").fetchone() or (None,)
        for row_type, query in TABLES.items():
            with connection.cursor(row_factory=class_row(cast("type[Any]", row_type))) as cursor:
                tables[row_type] = cursor.execute(query).fetchall()
    assert now is not None
    return Held(
        now,
        {event.id: event for event in tables[Event]},
        {change.id: change for change in tables[Change]},
        tables[Participant],
        tables[Notification],
        tables[Delivery],
        tables[Attempt],
        tables[Route],
        tables[Mute],
    )


@dataclass(frozen=True, slots=True)
class Received:
    """A mail that the sink took."""

    message_id: str | None
    recipients: tuple[str, ...]
    at: float

    @property
    def id(self) -> UUID | None:
        """The delivery's, or the digest's, that its Message-ID names."""
        found = ID.search(self.message_id or "")
        return UUID(found[0]) if found else None


def received(path: Path) -> list[Received]:
    """What the sink's ledger says. A line that was cut off is a mail that nobody was told of."""
    return [Received(mail["id"], tuple(mail["recipients"]), mail["at"]) for mail in read(path)]


@dataclass
class Evidence:
    writes: list[ClientWrite]
    held: Held
    received: list[Received]

    def __post_init__(self) -> None:
        self.times = Counter(mail.id for mail in self.received)
        """How often each message came."""


def gather(clients: Path, connection: psycopg.Connection[Any], sink: Path) -> Evidence:
    return Evidence(client_writes(read(clients)), held(connection), received(sink))
