"""The statements by which a worker holds deliveries: take, extend, record, give back.

A delivery is changed only by whoever holds it: `claims`, which each claim raises, is the token (a fencing token: who
was thought dead changes nothing).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from planner_common.deliveries import Lane, Outcome, Reason, State
from planner_common.messages import Channel
from sqlalchemy import Connection, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER, TEXT, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from planner_worker.delivery.database import transaction
from planner_worker.delivery.facts import OPEN, Facts
from planner_worker.delivery.present import PutOff, Superseded

TYPES = {
    "ids": PG_UUID, "claims": INTEGER, "by": BIGINT, "reasons": TEXT, "states": TEXT, "due": TIMESTAMP(timezone=True),
    "until": TIMESTAMP(timezone=True), "revisions": INTEGER, "outcomes": TEXT, "statuses": INTEGER, "details": TEXT,
    "milliseconds": INTEGER, "messages": PG_UUID, "channels": PG_UUID,
}  # fmt: skip


def _statement(sql: str) -> TextClause:
    """A statement whose arrays have the types of `TYPES`."""
    names = [name for name in TYPES if f":{name}" in sql]
    return text(sql).bindparams(*(bindparam(name, type_=ARRAY(TYPES[name])) for name in names))  # type: ignore[arg-type]


# Only what is as it was looked at: held by the same claim, of an event that has not changed since.
TAKE = _statement(f"""
    WITH wanted AS (
        SELECT * FROM unnest(:ids, :claims, :revisions, :messages) AS w(id, claims, revision, message_id)
    ), there AS (
        SELECT d.id, w.message_id
          FROM wanted w JOIN deliveries d ON d.id = w.id AND d.claims = w.claims
          LEFT JOIN changes c ON c.id = d.change_id LEFT JOIN events e ON e.id = c.event_id
         WHERE {OPEN} AND NOT d.sending AND e.revision IS NOT DISTINCT FROM w.revision
         ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
    ), taken AS (
        UPDATE deliveries d SET sending = true, lease_until = now() + make_interval(secs => :lease),
               message_id = there.message_id
          FROM there WHERE d.id = there.id
        RETURNING d.id, d.claims, d.message_id
    ), attempt AS (
        INSERT INTO delivery_attempts (delivery_id, number)
        SELECT id, claims FROM taken WHERE message_id IS NULL OR message_id = id
    )
    SELECT id FROM taken
""")

# The other deliveries that go out with a digest: all of the channel's that wait for one; or, when the first one has
# been tried before, those that were in it then. From here on they are held as the first one is, and only by it: the
# dispatcher leaves them alone. What was being sent when a worker died may have gone out.
GATHER = _statement("""
    UPDATE deliveries d SET claims = d.claims + 1, lease_until = now() + make_interval(secs => :lease), sending = false,
           outcome_unknown = d.outcome_unknown OR d.sending
     WHERE d.id IN (
         SELECT id FROM deliveries
          WHERE channel_id = :channel AND finished_at IS NULL AND digest AND id <> :first AND due_at <= now()
            AND CASE WHEN :fresh THEN message_id IS NULL AND NOT sending
                     ELSE message_id = :first AND (NOT sending OR lease_until < now()) END
          ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
     )
    RETURNING d.id, d.claims
""")
# The first one of a digest goes out no more: the others make another.
DISSOLVE = _statement("""
    UPDATE deliveries d SET message_id = NULL, lease_until = NULL, sending = false,
           outcome_unknown = d.outcome_unknown OR d.sending
      FROM unnest(:ids, :channels) AS first(id, channel_id)
     WHERE d.channel_id = first.channel_id AND d.message_id = first.id AND d.id <> first.id
       AND d.digest AND d.finished_at IS NULL
""")
ALONE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('digest ' || CAST(:channel AS text), 0))")

EXTEND = _statement(f"""
    UPDATE deliveries d SET lease_until = now() + make_interval(secs => :lease)
      FROM unnest(:ids, :claims) AS held(id, claims)
     WHERE d.id = held.id AND d.claims = held.claims AND d.sending AND {OPEN}
    RETURNING d.id
""")

GIVE_BACK = _statement(f"""
    WITH given AS (
        UPDATE deliveries d SET lease_until = NULL
          FROM unnest(:ids, :claims) AS held(id, claims)
         WHERE d.id = held.id AND d.claims = held.claims AND NOT d.sending AND {OPEN}
        RETURNING 1
    )
    SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('{Channel.CHANGES}', '') END FROM given
""")

SUPERSEDE = _statement(f"""
    UPDATE deliveries d SET state = '{State.SUPERSEDED}', reason = held.reason, superseded_by = held.by,
           finished_at = clock_timestamp(), lease_until = NULL
      FROM unnest(:ids, :claims, :reasons, :by) AS held(id, claims, reason, by)
     WHERE d.id = held.id AND d.claims = held.claims AND NOT d.sending AND {OPEN}
""")

# Waiting for a time of the reader's choice is no delay: the age of what waits counts from then.
PUT_OFF = _statement(f"""
    UPDATE deliveries d SET reason = held.reason, due_at = held.until, lease_until = NULL,
           queued_at = CASE WHEN held.reason IN ('{Reason.QUIET_HOURS}', '{Reason.DIGEST}') THEN held.until
                            ELSE d.queued_at END,
           digest = d.digest OR held.reason = '{Reason.DIGEST}',
           lane = CASE WHEN held.reason = '{Reason.DIGEST}' THEN {Lane.BULK.value} ELSE d.lane END
      FROM unnest(:ids, :claims, :reasons, :until) AS held(id, claims, reason, until)
     WHERE d.id = held.id AND d.claims = held.claims AND NOT d.sending AND {OPEN}
""")

GIVE_UP = _statement(f"""
    UPDATE deliveries d SET state = '{State.DEAD}', reason = '{Reason.AGE}', finished_at = clock_timestamp(),
           lease_until = NULL
      FROM unnest(:ids, :claims) AS held(id, claims)
     WHERE d.id = held.id AND d.claims = held.claims AND NOT d.sending AND {OPEN}
""")

# What came of a try is kept in any case. The delivery changes if it is still ours; or if it was taken for lost, is in
# nobody's hands yet, and the message was accepted after all.
RECORD = _statement(f"""
    WITH result AS (
        SELECT * FROM unnest(:ids, :claims, :states, :reasons, :due, :revisions, :outcomes, :statuses, :details,
                             :milliseconds)
            AS r(id, claims, state, reason, due_at, revision, outcome, status, detail, milliseconds)
    ), attempt AS (
        UPDATE delivery_attempts a
           SET outcome = r.outcome, status = r.status, detail = r.detail, milliseconds = r.milliseconds,
               finished_at = clock_timestamp()
          FROM result r WHERE a.delivery_id = r.id AND a.number = r.claims
    )
    UPDATE deliveries d
       SET state = r.state, reason = r.reason, due_at = COALESCE(r.due_at, d.due_at), told_revision = r.revision,
           tries = LEAST(d.tries + 1, 32767), sending = false, lease_until = NULL,
           outcome_unknown = d.outcome_unknown OR r.outcome = '{Outcome.UNKNOWN}',
           finished_at = CASE WHEN r.due_at IS NULL THEN clock_timestamp() END
      FROM result r
     WHERE d.id = r.id AND {OPEN}
       AND (d.claims = r.claims AND d.sending OR d.claims > r.claims AND NOT d.sending AND r.state = '{State.SENT}')
    RETURNING d.id
""")

# A try that was not made after all: the lease had become too short to begin.
NOT_MADE = _statement(f"""
    WITH held AS (SELECT * FROM unnest(:ids, :claims) AS h(id, claims)),
    attempt AS (
        DELETE FROM delivery_attempts a USING held
         WHERE a.delivery_id = held.id AND a.number = held.claims AND a.outcome IS NULL
    )
    UPDATE deliveries d SET sending = false, lease_until = NULL,
           message_id = CASE WHEN d.tries > 0 OR d.outcome_unknown THEN d.message_id END
      FROM held
     WHERE d.id = held.id AND d.claims = held.claims AND d.sending AND {OPEN}
""")

DISABLE = _statement("""
    UPDATE channels SET disabled_at = clock_timestamp(), disabled_reason = gone.reason
      FROM unnest(:channels, :reasons) AS gone(id, reason)
     WHERE channels.id = gone.id AND disabled_at IS NULL
""")

MOST_IN_A_DIGEST = 200
"""Notifications in one digest. What is beyond makes another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A result, and what the delivery becomes by it."""

    id: UUID
    claims: int
    state: State
    reason: Reason | None
    due_at: datetime | None
    """When it is tried again; None: it is finished."""
    revision: int | None
    outcome: Outcome
    status: int | None
    detail: str | None
    milliseconds: int

    def of(self, facts: Facts) -> "Recorded":
        """The same, of another delivery that went out in the same message."""
        revision = facts.event_revision if self.state is State.SENT else None
        return replace(self, id=facts.id, claims=facts.claims, revision=revision)


def _held(deliveries: Sequence[Facts]) -> dict[str, list[object]]:
    return {"ids": [one.id for one in deliveries], "claims": [one.claims for one in deliveries]}


def supersede(connection: Connection, verdicts: Sequence[tuple[Facts, Superseded]]) -> None:
    values = {"reasons": [found.reason for _, found in verdicts], "by": [found.by for _, found in verdicts]}
    with transaction(connection):
        connection.execute(SUPERSEDE, _held([facts for facts, _ in verdicts]) | values)
        _dissolve(connection, [facts for facts, _ in verdicts])


def _dissolve(connection: Connection, finished: Sequence[Facts]) -> None:
    if first := [one for one in finished if one.message_id == one.id]:
        values = {"ids": [one.id for one in first], "channels": [one.channel_id for one in first]}
        connection.execute(DISSOLVE, values)


def put_off(connection: Connection, verdicts: Sequence[tuple[Facts, PutOff]]) -> None:
    values = {"reasons": [found.reason for _, found in verdicts], "until": [found.until for _, found in verdicts]}
    connection.execute(PUT_OFF, _held([facts for facts, _ in verdicts]) | values)


def give_up(connection: Connection, deliveries: Sequence[Facts]) -> None:
    with transaction(connection):
        connection.execute(GIVE_UP, _held(deliveries))
        _dissolve(connection, deliveries)


def give_back(connection: Connection, deliveries: Sequence[Facts]) -> int:
    """Let the dispatcher hand them out again at once. Returns how many were still ours to give."""
    number: int = connection.execute(GIVE_BACK, _held(deliveries)).scalar_one()
    return number


def take(connection: Connection, deliveries: Sequence[Facts], lease: float) -> set[UUID]:
    """Begin to send: note the tries. Returns those that are really ours to send."""
    values: dict[str, object] = {
        "revisions": [one.event_revision for one in deliveries],
        "messages": [one.message_id for one in deliveries],
        "lease": lease,
    }
    return set(connection.execute(TAKE, _held(deliveries) | values).scalars())


def gather(connection: Connection, first: Facts, lease: float) -> list[tuple[UUID, int]] | None:
    """The others of a digest, with their claims; None: another worker is at this channel's digest just now."""
    values = {
        "channel": first.channel_id,
        "first": first.id,
        "fresh": first.message_id is None,
        "most": MOST_IN_A_DIGEST - 1,
        "lease": lease,
    }
    with transaction(connection):
        if not connection.scalar(ALONE, {"channel": first.channel_id}):
            return None
        return [(row.id, row.claims) for row in connection.execute(GATHER, values)]


def extend(connection: Connection, held: Sequence[tuple[UUID, int]], lease: float) -> set[UUID]:
    """Keep holding what is being sent. Returns what is still ours."""
    values = {"ids": [one for one, _ in held], "claims": [claim for _, claim in held], "lease": lease}
    return set(connection.execute(EXTEND, values).scalars())


def record(connection: Connection, results: Sequence[Recorded]) -> set[UUID]:
    """Write down what came of tries. Returns the deliveries that it changed; the others are not ours any more."""
    values = {
        "ids": [one.id for one in results],
        "claims": [one.claims for one in results],
        "states": [one.state for one in results],
        "reasons": [one.reason for one in results],
        "due": [one.due_at for one in results],
        "revisions": [one.revision for one in results],
        "outcomes": [one.outcome for one in results],
        "statuses": [one.status for one in results],
        "details": [one.detail for one in results],
        "milliseconds": [one.milliseconds for one in results],
    }
    return set(connection.execute(RECORD, values).scalars())


def not_made(connection: Connection, deliveries: Sequence[Facts]) -> None:
    connection.execute(NOT_MADE, _held(deliveries))


def disable(connection: Connection, gone: Sequence[tuple[UUID, str]]) -> None:
    """Close channels whose other side said that it is no more."""
    values = {"channels": [channel for channel, _ in gone], "reasons": [reason for _, reason in gone]}
    connection.execute(DISABLE, values)
