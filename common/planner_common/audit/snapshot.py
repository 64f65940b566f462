"""The audit itself: all questions in one snapshot."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from planner_common.audit import backlog, deliveries, notifications, places
from planner_common.audit.findings import Fault, Findings
from planner_common.audit.scope import HORIZONS, IN_SCOPE, Scope

COLUMNS = "name, change_id, person_id, channel_id, delivery_id, seconds"
"""What each question answers: a row per fault."""

QUESTIONS: tuple[Callable[[Scope], str], ...] = (
    notifications.faults,
    deliveries.faults,
    deliveries.orphans,
    deliveries.contradictions,
    backlog.stuck,
    places.faults,
)

# The first rows of each name, each with how many there are. Where nothing is wrong there is nothing to sort.
NAMED = """
    SELECT * FROM (
        SELECT {columns}, count(*) OVER (PARTITION BY name) AS number,
               row_number() OVER (PARTITION BY name ORDER BY change_id, person_id, channel_id, delivery_id) AS place
          FROM ({question}) question
    ) faults
     WHERE CAST(:listed AS integer) IS NULL OR place <= :listed ORDER BY name, place
"""
COUNTS = text(f"SELECT count(*) AS changes, count(DISTINCT event_id) AS events FROM changes c WHERE {IN_SCOPE}")


def begin(connection: Connection, statement_seconds: float = 0) -> None:
    """Begin the transaction of an audit: one snapshot for all of it, so that what commits meanwhile is no fault.

    Of hundreds of millions of rows it takes minutes: no statement is bounded unless it is told by how much.
    """
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    connection.execute(text(f"SET LOCAL statement_timeout = {int(statement_seconds * 1000)}"))
    # All of it goes through a few large hashes, which need not go to the disk for a million rows.
    connection.execute(text("SET LOCAL work_mem = '32MB'"))
    # The estimates of what so many joins yield are often so high that compiling would take longer than executing.
    connection.execute(text("SET LOCAL jit = off"))


def look(
    connection: Connection,
    since: str = "-infinity",
    listed: int | None = 20,
    *,
    event: UUID | None = None,
    stuck: timedelta = timedelta(seconds=60),
) -> Findings:
    """Compare what is due with what is there, for changes made at or after `since` (an instant as PostgreSQL reads it),
    of one event or of all; what waits is looked at whenever it was made. Names the first `listed` rows of each kind, or
    all.

    In a transaction that `begin` has begun. Raises sqlalchemy's DataError when `since` is no instant.
    """
    scope = Scope.find(connection, since=since, event=event, stuck=stuck, listed=listed)
    values = scope.values()
    found = Findings()
    found.changes, found.events = connection.execute(COUNTS, values).one()
    number = text(f"SELECT count(*) FROM {scope.rows('notifications')}")
    found.notifications = connection.execute(number, values).scalar_one()
    states = text(f"SELECT t.state, count(*) AS number FROM {scope.rows('deliveries')} GROUP BY t.state ORDER BY 1")
    found.states = {row.state: row.number for row in connection.execute(states, values)}
    found.deliveries = sum(found.states.values())
    found.horizons = {row.name: row.at for row in connection.execute(HORIZONS)}
    found.pending, found.oldest_pending = backlog.pending(connection)
    found.due = backlog.due(connection)
    for question in QUESTIONS:
        statement = text(NAMED.format(columns=COLUMNS, question=question(scope)))
        for row in connection.execute(statement, values):
            fault = Fault(
                change=row.change_id,
                person=row.person_id,
                channel=row.channel_id,
                delivery=row.delivery_id,
                seconds=row.seconds,
            )
            found.add(row.name, row.number, fault)
    return found


def audit(connection: Connection, since: str = "-infinity", listed: int | None = 20) -> Findings:
    """`begin` and `look`, at all events."""
    begin(connection)
    return look(connection, since, listed)
