"""What is known of deliveries at the moment they are looked at. Nothing is locked: who takes them looks again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any
from uuid import UUID

from planner_common.changes import Kind
from planner_common.deliveries import TOLD_AS, State
from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

REWRITING = (Kind.UPDATE, Kind.RESCHEDULE, Kind.CANCELLATION, Kind.RESTORATION, Kind.DELETION)
"""Kinds of change after which what an earlier one says may be no longer so."""
SHOWING = (Kind.CREATION, Kind.INVITATION, Kind.UPDATE, Kind.RESCHEDULE, Kind.RESTORATION)
"""Kinds whose messages show the whole event."""

# Of `d`, deliveries: not finished. Not said by `finished_at IS NULL`: the index of what is due is of that; right after
# a mass mailing PostgreSQL still takes it for small, and would go through all of it for each batch.
OPEN = f"d.state IN ('{State.PENDING}', '{State.FAILED}')"

# LIMIT 1 keeps it, likewise, from looking at everyone in the event instead of one person.
# Who has left an event is looked for only where nothing else knows them: that goes through all who were in it.
# What a person is called and reads: an account's own; a guest reads what the organizer does, in the zone of the event.
HELD = text(f"""
    SELECT d.id, d.claims, d.change_id, d.person_id, d.channel_id, d.type, d.purpose, d.lane, d.tries, d.digest,
           d.message_id, d.queued_at, d.created_at, now() AS now,
           n.id AS notification_id,
           {TOLD_AS} AS kind, c.revision, c.diff, c.at,
           CASE WHEN d.queued_at > d.created_at THEN d.queued_at ELSE COALESCE(c.decided_at, c.at, d.created_at) END
               AS since,
           actor.name AS actor_name,
           e.id AS event_id, e.revision AS event_revision, e.uid, e.title, e.description, e.location, e.url, e.status,
           e.all_day, e.starts_at, e.ends_at, COALESCE(e.over_at, e.ends_at) AS over_at,
           e.deleted_at IS NOT NULL AS deleted,
           organizer.name AS organizer_name, organizer.email AS organizer_email,
           organizer.person_id = d.person_id AS organizes,
           COALESCE(account.email, guest.email, gone.email) AS email,
           COALESCE(account.name, guest.name, gone.name) AS name,
           COALESCE(account.locale, organizer.locale, 'en') AS locale,
           COALESCE(account.time_zone, e.start_zone, organizer.time_zone, 'UTC') AS time_zone,
           guest.id IS NOT NULL AS inside, guest.response,
           CASE WHEN answer.waiting_since IS NULL THEN answer.response ELSE 'waiting' END AS answer,
           ch.id IS NOT NULL AS has_channel, ch.address, ch.verified_at, ch.code_expires_at,
           ch.paused_at IS NOT NULL OR ch.disabled_at IS NOT NULL OR ch.ended_at IS NOT NULL
               OR (ch.id IS NULL AND p.email_paused_at IS NOT NULL) AS closed,
           CASE WHEN ch.id IS NULL THEN COALESCE(p.email_digest, 'none') ELSE ch.digest END AS digest_wish,
           p.quiet_from, p.quiet_to, r.kinds AS wanted,
           EXISTS (
               SELECT FROM mutes m
                WHERE m.person_id = d.person_id AND m.event_id = c.event_id AND m.until IS NULL
           ) AS muted
      FROM unnest(:ids, :claims) AS held(id, claims)
      JOIN deliveries d ON d.id = held.id AND d.claims = held.claims
      LEFT JOIN notifications n ON n.change_id = d.change_id AND n.person_id = d.person_id
      LEFT JOIN changes c ON c.id = d.change_id
      LEFT JOIN events e ON e.id = c.event_id
      LEFT JOIN accounts organizer ON organizer.id = e.organizer_id
      LEFT JOIN accounts actor ON actor.person_id = c.actor
      LEFT JOIN accounts account ON account.person_id = d.person_id
      LEFT JOIN channels ch ON ch.id = d.channel_id
      LEFT JOIN preferences p ON p.person_id = d.person_id
      LEFT JOIN routes r ON r.channel_id = d.channel_id AND r.until IS NULL
      LEFT JOIN LATERAL (
          SELECT p.id, p.email, p.name, p.response FROM participants p
           WHERE p.event_id = c.event_id AND p.person_id = d.person_id AND p.until_change IS NULL LIMIT 1
      ) guest ON true
      LEFT JOIN LATERAL (
          SELECT p.email, p.name FROM participants p
           WHERE account.id IS NULL AND guest.id IS NULL AND p.event_id = c.event_id AND p.person_id = d.person_id
           ORDER BY p.since_change DESC LIMIT 1
      ) gone ON true
      LEFT JOIN participants answer ON c.kind = '{Kind.RESPONSE}' AND answer.event_id = c.event_id
       AND answer.person_id = c.actor AND answer.until_change IS NULL
     WHERE {OPEN} AND NOT d.sending
     ORDER BY d.change_id, d.id
""").bindparams(bindparam("ids", type_=ARRAY(PG_UUID)), bindparam("claims", type_=ARRAY(INTEGER)))

# Of each event, what has happened to it, without the answers, of which there may be very many.
LOG = text("""
    SELECT c.event_id, c.id, c.revision, c.kind, c.actor, c.notify AND c.held_at IS NULL AS told,
           ARRAY(SELECT jsonb_object_keys(c.diff)) AS fields
      FROM changes c
     WHERE c.event_id = ANY(:events) AND c.kind = ANY(:kinds)
     ORDER BY c.revision
""").bindparams(bindparam("events", type_=ARRAY(PG_UUID)))

TOLD = text("""
    SELECT wanted.id, max(d.told_revision) AS revision
      FROM unnest(:ids, :people, :channels, :changes) AS wanted(id, person_id, channel_id, change_id)
      JOIN deliveries d ON d.change_id = wanted.change_id AND d.person_id = wanted.person_id
       AND d.channel_id = wanted.channel_id
     WHERE d.told_revision IS NOT NULL
     GROUP BY wanted.id
""").bindparams(
    bindparam("ids", type_=ARRAY(PG_UUID)),
    bindparam("people", type_=ARRAY(PG_UUID)),
    bindparam("channels", type_=ARRAY(PG_UUID)),
    bindparam("changes", type_=ARRAY(BIGINT)),
)


@dataclass(frozen=True, slots=True)
class Logged:
    """A change of the event: what a later or an earlier one did."""

    id: int
    revision: int
    kind: str
    actor: UUID | None
    told: bool
    """People are told of it: it is neither quiet nor held."""
    fields: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A delivery that is held, and everything that decides what becomes of it. Of a code or a test, no event."""

    id: UUID
    claims: int
    change_id: int | None
    person_id: UUID
    channel_id: UUID
    type: str
    purpose: str
    lane: int
    tries: int
    digest: bool
    """It has waited for its digest."""
    message_id: UUID | None
    queued_at: datetime
    created_at: datetime
    now: datetime
    """By PostgreSQL's clock, like all the others."""
    since: datetime
    """From when on it is late: the commit of the change, an admin's yes, or the time it was put off to on purpose."""
    notification_id: UUID | None = None
    kind: str | None = None
    revision: int | None = None
    actor_name: str | None = None
    diff: Mapping[str, Any] | None = None
    at: datetime | None = None
    event_id: UUID | None = None
    event_revision: int | None = None
    uid: str | None = None
    title: str | None = None
    description: str | None = None
    location: str | None = None
    url: str | None = None
    status: str | None = None
    all_day: bool | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    over_at: datetime | None = None
    deleted: bool | None = None
    organizer_name: str | None = None
    organizer_email: str | None = None
    organizes: bool | None = None
    email: str | None = None
    """The address that the person is known by; None once nothing is left of a guest."""
    name: str | None = None
    locale: str = "en"
    time_zone: str = "UTC"
    inside: bool | None = None
    """In the event now, as a participant."""
    response: str | None = None
    answer: str | None = None
    """For the news of an answer: what whoever gave it says now; `waiting`: yes, and there is no place."""
    has_channel: bool = False
    address: bytes | None = None
    verified_at: datetime | None = None
    code_expires_at: datetime | None = None
    closed: bool = False
    digest_wish: str = "none"
    quiet_from: time | None = None
    quiet_to: time | None = None
    wanted: Sequence[str] | None = None
    """Kinds that go to the channel now; None: nothing was said of it."""
    muted: bool = False
    log: Sequence[Logged] = field(default=(), repr=False)
    """What happened to the event, in order, without answers."""
    told_revision: int | None = None
    """The newest revision of the event that an earlier message on this channel has shown."""

    @property
    def later(self) -> list[Logged]:
        return [entry for entry in self.log if self.revision is not None and entry.revision > self.revision]


def look(connection: Connection, held: Sequence[tuple[UUID, int]]) -> list[Facts]:
    """The facts of those that are still held by these claims, not finished and not being sent."""
    ids, claims = [delivery for delivery, _ in held], [claim for _, claim in held]
    rows = connection.execute(HELD, {"ids": ids, "claims": claims}).mappings().all()
    events = {row["event_id"] for row in rows if row["event_id"] is not None}
    logs: dict[UUID, list[Logged]] = {event: [] for event in events}
    if events:
        kinds = [kind.value for kind in {*REWRITING, *SHOWING}]
        for entry in connection.execute(LOG, {"events": list(events), "kinds": kinds}):
            logs[entry.event_id].append(
                Logged(entry.id, entry.revision, entry.kind, entry.actor, entry.told, frozenset(entry.fields))
            )
    told = _told(connection, rows, logs)
    return [Facts(**row, log=logs.get(row["event_id"], ()), told_revision=told.get(row["id"])) for row in rows]


def _told(connection: Connection, rows: Sequence[RowMapping], logs: Mapping[UUID, Sequence[Logged]]) -> dict[UUID, int]:
    """For news that an earlier message, sent late, may have told already: what that one has shown."""
    earlier = [
        (row["id"], row["person_id"], row["channel_id"], entry.id)
        for row in rows
        if row["kind"] in (Kind.UPDATE, Kind.RESCHEDULE)
        for entry in logs[row["event_id"]]
        if entry.revision < row["revision"] and entry.kind in SHOWING
    ]
    if not earlier:
        return {}
    ids, people, channels, changes = (list(column) for column in zip(*earlier, strict=True))
    values = {"ids": ids, "people": people, "channels": channels, "changes": changes}
    return {row.id: row.revision for row in connection.execute(TOLD, values)}
