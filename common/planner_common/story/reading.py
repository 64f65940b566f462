"""The rows of a story: a statement for each table, whatever the number of changes."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from planner_common.deliveries import PRUNED
from planner_common.held import DECISION
from planner_common.story.finding import Subject

FEW = 3
"""Of how many people each change's notifications are told one by one, unless all are asked for."""

Rows = Sequence[RowMapping]
IDS = bindparam("changes", type_=ARRAY(BIGINT))
PERSON = "(CAST(:person AS uuid) IS NULL OR person_id = CAST(:person AS uuid))"

CHANGES = text(f"""
    SELECT c.id, c.event_id, c.revision, c.kind, c.actor, c.at, c.notify, c.request_id, c.traceparent, c.audience_size,
           ARRAY(SELECT jsonb_object_keys(c.diff) ORDER BY 1) AS fields,
           c.claims, c.lease_until, c.fanned_out_at, c.held_at, c.decided_by, c.decided_at, {DECISION} AS decision,
           {PRUNED} AS pruned
      FROM changes c WHERE c.id = ANY(:changes) ORDER BY c.id
""").bindparams(IDS)
COUNTS = text(f"""
    SELECT change_id, count(*) AS notifications, count(read_at) AS read
      FROM notifications WHERE change_id = ANY(:changes) AND {PERSON} GROUP BY change_id
""").bindparams(IDS)
DELIVERY_COUNTS = text(f"""
    SELECT change_id, type, state, reason, count(*) AS number, min(due_at) AS due_at, bool_or(sending) AS sending
      FROM deliveries
     WHERE change_id = ANY(:changes) AND {PERSON} AND (CAST(:delivery AS uuid) IS NULL OR id = CAST(:delivery AS uuid))
     GROUP BY change_id, type, state, reason ORDER BY change_id, type, state, reason
""").bindparams(IDS)
NOTIFICATIONS = text(f"""
    SELECT n.* FROM unnest(:changes) AS asked(change_id) CROSS JOIN LATERAL (
        SELECT id, change_id, person_id, created_at, read_at FROM notifications
         WHERE change_id = asked.change_id AND {PERSON} ORDER BY person_id LIMIT :most
    ) n
""").bindparams(IDS)
DELIVERY = """
    SELECT d.id, d.change_id, d.person_id, d.channel_id, d.type, d.purpose, d.lane, d.state, d.reason, d.due_at,
           d.tries, d.claims, d.lease_until, d.sending, d.message_id, d.outcome_unknown, d.created_at, d.finished_at,
           by.revision AS superseded_by
      FROM {} LEFT JOIN changes by ON by.id = d.superseded_by ORDER BY d.id
"""
# Those of the people told of, which may be fewer than all: by the index of who is told of what.
DELIVERIES = text(
    DELIVERY.format("""unnest(:changes, :people) AS told(change_id, person_id)
      JOIN deliveries d ON d.change_id = told.change_id AND d.person_id = told.person_id""")
).bindparams(IDS, bindparam("people", type_=ARRAY(PG_UUID)))
ONE_DELIVERY = text(DELIVERY.format("(SELECT * FROM deliveries WHERE id = :id) d"))
# A digest's tries are kept with the first of its deliveries.
ATTEMPTS = text("""
    SELECT asked.id AS delivery_id, a.number, a.started_at, a.finished_at, a.outcome, a.status, a.detail, a.milliseconds
      FROM unnest(:deliveries, :messages) AS asked(id, message_id)
      JOIN delivery_attempts a ON a.delivery_id IN (asked.id, asked.message_id)
     ORDER BY a.started_at, a.number
""").bindparams(bindparam("deliveries", type_=ARRAY(PG_UUID)), bindparam("messages", type_=ARRAY(PG_UUID)))


@dataclass(frozen=True, slots=True)
class Record:
    """All that the tables have of a subject, or, of notifications and deliveries, the first few."""

    changes: Rows
    counts: Rows
    delivery_counts: Rows
    notifications: Rows
    deliveries: Rows
    attempts: Rows


def read(connection: Connection, subject: Subject, most: int | None = FEW) -> Record:
    """`most`: of how many people per change; None: of all."""
    values = {"changes": subject.changes, "person": subject.person, "delivery": subject.delivery, "most": most}

    def rows(statement: object, **others: object) -> Rows:
        return connection.execute(statement, values | others).mappings().all()  # type: ignore[call-overload,no-any-return]

    notifications = rows(NOTIFICATIONS)
    if subject.delivery is not None:
        deliveries = rows(ONE_DELIVERY, id=subject.delivery)
    else:
        told = {"changes": [n["change_id"] for n in notifications], "people": [n["person_id"] for n in notifications]}
        deliveries = rows(DELIVERIES, **told)
    tried = {"deliveries": [d["id"] for d in deliveries], "messages": [d["message_id"] for d in deliveries]}
    return Record(
        rows(CHANGES), rows(COUNTS), rows(DELIVERY_COUNTS), notifications, deliveries, rows(ATTEMPTS, **tried)
    )
