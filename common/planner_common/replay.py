"""Dead letters: deliveries that were given up. Looking through them, and giving them another try.

A replayed delivery is due again, under the id that it always had (Message-ID, webhook-id), and its tries go on being
numbered, so it cannot become a second message. Whether it still matters is decided where it is for every other: by the
worker, right before it is sent. Statements and their values only: the API runs them asynchronously, `planner dead` not.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from planner_common.deliveries import TOLD_AS, ChannelType, Lane, Reason, State
from planner_common.people import person_id

BATCH = 10_000
"""Deliveries that one statement replays at most: half a second's work."""

Statement = tuple[TextClause, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which deliveries are meant: all of these that are not None must be so."""

    state: State = State.DEAD
    type: ChannelType | None = None
    reason: Reason | None = None
    event: UUID | None = None
    person: str | None = None
    """An e-mail address."""
    since: datetime | None = None
    """Finished at this time or later; made, while they are not finished."""
    until: datetime | None = None
    """Before this time."""

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """For `d`, deliveries: SQL, and the values it binds."""
        # Not bound: the planner is to see that an index of the dead ones, or of the unfinished ones, will do.
        found = [f"d.state = '{State(self.state).value}'"]
        if self.state in (State.PENDING, State.FAILED):
            found.append("d.finished_at IS NULL")
        found += [sql for name, sql in CONDITIONS.items() if getattr(self, name) is not None]
        values = {name: getattr(self, name) for name in CONDITIONS if getattr(self, name) is not None}
        if self.person is not None:
            values["person"] = person_id(self.person)
        return " AND ".join(found), values

    def noted(self) -> str:
        """As JSON, for `admin_actions`."""
        return json.dumps({name: str(value) for name, value in asdict(self).items() if value is not None})


CONDITIONS = {
    "type": "d.type = :type",
    "reason": "d.reason = :reason",
    "event": "d.change_id IN (SELECT id FROM changes WHERE event_id = :event)",
    "person": "d.person_id = :person",
    "since": "COALESCE(d.finished_at, d.created_at) >= :since",
    "until": "COALESCE(d.finished_at, d.created_at) < :until",
}

# What an operator needs to know of `d`, deliveries. Never where it goes: of a channel its type, of a person the address
# that organizers know them by. Who has left an event is looked for only where nothing else knows them.
SHOWN = f"""
    SELECT d.id, d.state, d.reason, d.type, d.channel_id, d.purpose, d.lane, d.tries, d.outcome_unknown, d.due_at,
           d.queued_at, d.finished_at, d.created_at, by.revision AS superseded_by,
           c.id AS change_id, {TOLD_AS} AS kind, c.revision, e.id AS event_id, e.title,
           d.person_id, COALESCE(account.email, guest.email, gone.email) AS email,
           COALESCE(account.name, guest.name, gone.name) AS name,
           last.outcome AS last_outcome, last.status AS last_status, last.detail AS last_detail
      FROM d
      LEFT JOIN changes c ON c.id = d.change_id
      LEFT JOIN events e ON e.id = c.event_id
      LEFT JOIN changes by ON by.id = d.superseded_by
      LEFT JOIN accounts account ON account.person_id = d.person_id
      LEFT JOIN participants guest
        ON guest.event_id = e.id AND guest.person_id = d.person_id AND guest.until_change IS NULL
      LEFT JOIN LATERAL (
          SELECT p.email, p.name FROM participants p
           WHERE account.id IS NULL AND guest.id IS NULL AND p.event_id = e.id AND p.person_id = d.person_id
           ORDER BY p.since_change DESC LIMIT 1
      ) gone ON true
      LEFT JOIN LATERAL (
          SELECT a.outcome, a.status, a.detail FROM delivery_attempts a
           WHERE a.delivery_id IN (d.id, d.message_id) ORDER BY a.started_at DESC LIMIT 1
      ) last ON true
"""
ONE = text(f"WITH d AS (SELECT * FROM deliveries WHERE id = :id) {SHOWN}")
# A digest's tries are kept with the first of its deliveries, which gave the message its id.
ATTEMPTS = text("""
    SELECT a.number, a.started_at, a.finished_at, a.outcome, a.status, a.milliseconds AS duration_ms, a.detail
      FROM deliveries d JOIN delivery_attempts a ON a.delivery_id IN (d.id, d.message_id)
     WHERE d.id = :id ORDER BY a.started_at, a.number
""")
STATE = text("SELECT state FROM deliveries WHERE id = :id")


def listing(wanted: Wanted, limit: int, before: UUID | None = None) -> Statement:
    """Those deliveries, the newest first; `before`: only older ones than this."""
    conditions, values = wanted.conditions()
    if before is not None:
        conditions += " AND d.id < :before"
        values["before"] = before
    found = f"SELECT * FROM deliveries d WHERE {conditions} ORDER BY d.id DESC LIMIT :limit"
    return text(f"WITH d AS MATERIALIZED ({found}) {SHOWN} ORDER BY d.id DESC"), {**values, "limit": limit}


# `found`, deliveries with (id, message_id), locked, become due again, as if they had just been made but for
# what has happened to them. What went out together, a digest, does so again: it is one message, with one id. IS TRUE
# keeps PostgreSQL from making a join of IN: after many have died at once it still takes them for few, and would go
# through them once for each.
AGAIN = f"""
    together AS MATERIALIZED (
        SELECT d.id FROM deliveries d
         WHERE d.state = '{State.DEAD}'
           AND (d.message_id IN (SELECT message_id FROM found WHERE message_id IS NOT NULL)) IS TRUE
         ORDER BY d.id FOR UPDATE SKIP LOCKED
    ), replayed AS (
        UPDATE deliveries d
           SET state = '{State.PENDING}', reason = NULL, due_at = clock_timestamp(), queued_at = clock_timestamp(),
               tries = 0, finished_at = NULL, lease_until = NULL, sending = false, superseded_by = NULL, lane = {{lane}}
         WHERE d.id IN (SELECT id FROM found UNION SELECT id FROM together)
        RETURNING d.id
    )
"""
# Another replay of the same may hold the row: this waits for it, and then finds nothing dead.
REPLAY = text(f"""
    WITH found AS MATERIALIZED (
        SELECT id, message_id FROM deliveries WHERE id = :id AND state = '{State.DEAD}' FOR UPDATE
    ), {AGAIN.format(lane="d.lane")}, noted AS (
        INSERT INTO admin_actions (actor, action, detail)
        SELECT CAST(:actor AS uuid), 'delivery.replay', jsonb_build_object('delivery', id) FROM found
    )
    SELECT id FROM replayed
""")
REPLAY_SOME = f"""
    WITH found AS MATERIALIZED (
        SELECT d.id, d.message_id FROM deliveries d WHERE {{conditions}}
         ORDER BY d.id LIMIT :limit FOR UPDATE SKIP LOCKED
    ), {AGAIN.format(lane=Lane.BULK.value)}, noted AS (
        INSERT INTO admin_actions (actor, action, detail)
        SELECT CAST(:actor AS uuid), 'deliveries.replay',
               jsonb_build_object('wanted', CAST(:wanted AS jsonb), 'replayed', (SELECT count(*) FROM replayed))
    )
    SELECT (SELECT count(*) FROM replayed) AS replayed, (SELECT count(*) FROM found) = :limit AS more
"""


def replaying(delivery: UUID, actor: UUID | None) -> Statement:
    """Replay one, and what went out with it. Its rows: the ids of what was dead and is due again; none: see `STATE`."""
    return REPLAY, {"id": delivery, "actor": actor}


def replaying_some(wanted: Wanted, actor: UUID | None, limit: int = BATCH) -> Statement:
    """Replay up to `limit` of those that are dead, the oldest first, on the lane of the many.

    Its row: `replayed`, how many, and `more`, whether there may be others. Who goes on until there are none sets
    `wanted.until`: what dies again meanwhile would be replayed for ever.
    """
    if wanted.state != State.DEAD:
        raise ValueError(f"only dead deliveries can be replayed, not those that are {wanted.state}")
    conditions, values = wanted.conditions()
    values |= {"actor": actor, "wanted": wanted.noted(), "limit": limit}
    return text(REPLAY_SOME.format(conditions=conditions)), values


def not_dead(state: str | None) -> str:
    """Why `replaying` found nothing, for people. `state`: what `STATE` says."""
    if state is None:
        return "there is no such delivery"
    return f"it is {state}, and only what is dead can be replayed"


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of `listing` or `ONE` in the shape in which API and command line show it."""
    names = ("id", "state", "reason", "type", "purpose", "outcome_unknown", "tries", "superseded_by", "due_at")
    shown = {name: row[name] for name in (*names, "queued_at", "finished_at", "created_at")}
    shown["lane"] = Lane(row["lane"]).name.lower()
    shown["event"] = None if row["event_id"] is None else {"id": row["event_id"], "title": row["title"]}
    shown["kind"], shown["revision"] = (row["kind"], row["revision"]) if row["event_id"] else (None, None)
    shown["person"] = {"id": row["person_id"], "email": row["email"], "name": row["name"]}
    answered = row["last_outcome"] is not None
    shown["last_answer"] = (
        {"outcome": row["last_outcome"], "status": row["last_status"], "detail": row["last_detail"]}
        if answered
        else None
    )
    return shown
