"""What waits according to PostgreSQL, which knows, whatever the broker holds: work that is due, what an admin is to
decide, what was given up, and what the last audit found.
"""

from collections.abc import Iterator

from planner_common.deliveries import Lane
from planner_common.messages import Queue
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection, text

LANES = {Queue.DELIVER_URGENT: Lane.URGENT, Queue.DELIVER: Lane.NORMAL, Queue.DELIVER_BULK: Lane.BULK}
COUNTED = 10_000
"""Up to how many rows are counted of each sort, so that a scrape takes milliseconds however many there are."""

# By queue: how many rows wait for what goes through it, and for how many seconds the oldest. Partial indexes hold just
# these rows. What an admin holds waits for nobody else, and what is put off is not due.
BACKLOG = text(f"""
    SELECT '{Queue.FAN_OUT}' AS work, count(*) AS number,
           EXTRACT(epoch FROM clock_timestamp() - min(COALESCE(decided_at, at))) AS seconds
      FROM (
          SELECT at, decided_at FROM changes WHERE fanned_out_at IS NULL AND held_at IS NULL ORDER BY id LIMIT {COUNTED}
      ) due
    UNION ALL
    SELECT lane.work, due.number, due.seconds
      FROM (VALUES {", ".join(f"('{queue}', {lane.value}::smallint)" for queue, lane in LANES.items())})
           lane (work, lane)
     CROSS JOIN LATERAL (
         SELECT count(*) AS number, EXTRACT(epoch FROM clock_timestamp() - min(due_at)) AS seconds
           FROM (
               SELECT due_at FROM deliveries d
                WHERE d.finished_at IS NULL AND d.lane = lane.lane AND d.due_at <= now()
                ORDER BY d.due_at LIMIT {COUNTED}
           ) due
     ) due
""")
SEEN = text(f"""
    SELECT (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'dead' LIMIT {COUNTED}) x) AS dead,
           (SELECT count(*) FROM (SELECT FROM deliveries WHERE outcome_unknown LIMIT {COUNTED}) x) AS unknown,
           (SELECT count(*) FROM (
               SELECT FROM changes WHERE held_at IS NOT NULL AND fanned_out_at IS NULL LIMIT {COUNTED}
            ) x) AS held,
           (SELECT EXTRACT(epoch FROM clock_timestamp() - held_at) FROM changes
             WHERE held_at IS NOT NULL AND fanned_out_at IS NULL ORDER BY held_at LIMIT 1) AS held_seconds
""")
AUDITED = text("""
    SELECT violations, EXTRACT(epoch FROM clock_timestamp() - at) AS seconds FROM audits ORDER BY id DESC LIMIT 1
""")


def measure(connection: Connection) -> Iterator[GaugeMetricFamily]:
    """Raises sqlalchemy.exc.SQLAlchemyError."""
    yield from _due(connection)
    yield from _seen(connection)
    yield from _audited(connection)


def _due(connection: Connection) -> Iterator[GaugeMetricFamily]:
    waiting = GaugeMetricFamily(
        "planner_backlog", f"Rows that are due, by the queue they go through; up to {COUNTED:,}.", labels=["work"]
    )
    oldest = GaugeMetricFamily(
        "planner_backlog_oldest_seconds", "How long the oldest of them has been due.", labels=["work"]
    )
    for row in connection.execute(BACKLOG):
        waiting.add_metric([row.work], row.number)
        oldest.add_metric([row.work], row.seconds or 0)
    yield waiting
    yield oldest


def _seen(connection: Connection) -> Iterator[GaugeMetricFamily]:
    row = connection.execute(SEEN).one()
    yield GaugeMetricFamily("planner_changes_held", "Changes that wait for an admin.", row.held)
    yield GaugeMetricFamily(
        "planner_changes_held_oldest_seconds", "How long the oldest of them has waited.", row.held_seconds or 0
    )
    yield GaugeMetricFamily("planner_deliveries_dead", f"Deliveries that were given up; up to {COUNTED:,}.", row.dead)
    yield GaugeMetricFamily(
        "planner_deliveries_outcome_unknown",
        f"Deliveries that may have been sent more than once; up to {COUNTED:,}.",
        row.unknown,
    )


def _audited(connection: Connection) -> Iterator[GaugeMetricFamily]:
    """Of the newest audit; without one there are no samples."""
    violations = GaugeMetricFamily(
        "planner_audit_violations", "Faults that the last audit found.", labels=["invariant"]
    )
    age = GaugeMetricFamily("planner_audit_age_seconds", "How long ago that was.")
    for row in connection.execute(AUDITED):
        age.add_metric([], row.seconds)
        for invariant, number in row.violations.items():
            violations.add_metric([invariant], number)
    yield violations
    yield age
