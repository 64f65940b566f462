"""The audit, as the workers run it: over the last day, kept for the exporter."""

import json
import time
from datetime import timedelta

from planner_common import audit as auditing
from planner_common.audit import Findings, Invariant
from planner_common.database import make_engine
from planner_common.logging import get_logger
from planner_common.messages import Task
from planner_common.settings import get_settings
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from planner_worker.app import app

WINDOW = timedelta(days=1)
STUCK = timedelta(hours=1)
"""A backlog is no fault, and a mailing to very many takes its time. That it is old has an alert of its own."""
STATEMENT_SECONDS = 120
TASK_SECONDS = 600
LISTED = 5
"""Rows of each kind that the log names."""

# Held by the transaction of the audit, in this database; who dies lets go of it.
ALONE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('planner audit', 0)) AS alone, now() AS at")
KEEP = text("""
    INSERT INTO audits (at, since, seconds, violations, information)
    VALUES (:at, :since, :seconds, CAST(:violations AS jsonb), CAST(:information AS jsonb))
""")

logger = get_logger("planner_worker.audit")


@app.task(name=Task.AUDIT.value, throws=(OperationalError,), time_limit=TASK_SECONDS)
def audit() -> dict[str, int]:
    """Compare what is due with what is there and keep the numbers. Does nothing while another does it.

    Returns how many rows it compared and how many faults there are; what they are is logged.
    """
    # A connection of its own: with other bounds, and its name in pg_stat_activity.
    engine = make_engine(get_settings(), "planner-audit", statement_seconds=STATEMENT_SECONDS)
    try:
        with engine.connect() as connection:
            return _audit(connection)
    finally:
        engine.dispose()


def _audit(connection: Connection) -> dict[str, int]:
    began = time.monotonic()
    auditing.begin(connection, STATEMENT_SECONDS)
    alone, at = connection.execute(ALONE).one()
    if not alone:
        return {"skipped": 1}
    found = auditing.look(connection, (at - WINDOW).isoformat(), LISTED, stuck=STUCK)
    connection.rollback()
    values = {
        "at": at,
        "since": at - WINDOW,
        "seconds": time.monotonic() - began,
        "violations": json.dumps(found.violations),
        "information": json.dumps(found.information),
    }
    connection.execute(KEEP, values)
    connection.commit()
    for invariant, number in found.violations.items():
        if number:
            _log(found, invariant, number)
    return {
        "changes": found.changes,
        "notifications": found.notifications,
        "deliveries": found.deliveries,
        "faults": sum(found.violations.values()),
    }


def _log(found: Findings, invariant: Invariant, number: int) -> None:
    first = [str(fault) for fault in found.named[invariant]]
    logger.error("the audit found a fault", invariant=invariant.value, number=number, first=first)
