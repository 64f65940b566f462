"""What waits according to PostgreSQL, which knows, whatever the broker holds: work that is due, what an admin is to
decide, what was given up, and what the last audit found.
"""

from collections.abc import Iterator

from planner_common.vitals import AUDITED, BACKLOG, COUNTED, DUE_COUNTED, SEEN
from prometheus_client.core import GaugeMetricFamily

from planner_exporter.session import Session


def measure(session: Session) -> Iterator[GaugeMetricFamily]:
    """Raises psycopg.Error."""
    yield from _due(session)
    yield from _seen(session)
    yield from _audited(session)


def _due(session: Session) -> Iterator[GaugeMetricFamily]:
    waiting = GaugeMetricFamily(
        "planner_backlog",
        f"Rows that are due, by the queue they go through; deliveries up to {DUE_COUNTED:,}, changes {COUNTED:,}.",
        labels=["work"],
    )
    oldest = GaugeMetricFamily(
        "planner_backlog_oldest_seconds", "How long the oldest of them has been due.", labels=["work"]
    )
    for row in session.rows(BACKLOG):
        waiting.add_metric([row.work], row.number)
        oldest.add_metric([row.work], row.seconds or 0)
    yield waiting
    yield oldest


def _seen(session: Session) -> Iterator[GaugeMetricFamily]:
    row = session.row(SEEN)
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


def _audited(session: Session) -> Iterator[GaugeMetricFamily]:
    """Of the newest audit; without one there are no samples."""
    violations = GaugeMetricFamily(
        "planner_audit_violations", "Faults that the last audit found.", labels=["invariant"]
    )
    age = GaugeMetricFamily("planner_audit_age_seconds", "How long ago that was.")
    for row in session.rows(AUDITED):
        age.add_metric([], row.seconds)
        for invariant, number in row.violations.items():
            violations.add_metric([invariant], number)
    yield violations
    yield age
