"""What a database does that was restored from a backup. A whole dump and restore is in tests/acceptance."""

import pytest
from planner_common import restoring
from planner_common.audit import Information, audit
from planner_common.deliveries import Outcome, Reason, State
from planner_common.models import birthmarks, restores
from sqlalchemy import Connection, Engine, delete, func, select, text

from common.tests.delivered import ANN, BOB, CAT
from common.tests.domain import Domain
from common.tests.test_cli import planner

UNFINISHED = text("SELECT count(*) FROM deliveries WHERE finished_at IS NULL")
SEND_ONE = text("""
    WITH one AS (
        UPDATE deliveries SET state = :state, finished_at = clock_timestamp(), claims = 1
         WHERE id = (SELECT min(id::text)::uuid FROM deliveries) RETURNING id
    )
    INSERT INTO delivery_attempts (delivery_id, number, started_at, finished_at, outcome)
    SELECT id, 1, now(), now(), :outcome FROM one RETURNING delivery_id
""")


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(restores)) or 0


def test_what_is_unfinished_is_quarantined_and_the_rest_is_not(
    routed: Domain, database: str, worker_engine: Engine
) -> None:
    connection = routed.connection
    sent = connection.scalar(SEND_ONE, {"outcome": Outcome.ACCEPTED, "state": State.SENT})
    pending = connection.scalar(UNFINISHED)
    assert pending == 4
    done = planner(database, "restored")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{pending} deliveries are quarantined, and those of 0 changes will be\n")
    assert connection.scalar(UNFINISHED) == 0
    rows = connection.execute(text("SELECT id, state, reason FROM deliveries")).all()
    assert [(row.state, row.reason) for row in rows if row.id == sent] == [(State.SENT, None)]
    assert [(row.state, row.reason) for row in rows if row.id != sent] == [(State.DEAD, Reason.QUARANTINED)] * pending
    with worker_engine.connect() as other:
        found = audit(other)
    assert found.ok, found.violations
    assert found.information[Information.QUARANTINED] == pending
    assert connection.scalar(text("SELECT detail->>'quarantined' FROM admin_actions")) == str(pending)


def test_a_try_that_was_under_way_ended_somehow(routed: Domain, worker_engine: Engine) -> None:
    delivery = routed.connection.scalar(text("SELECT id FROM deliveries LIMIT 1"))
    routed.connection.execute(
        text("INSERT INTO delivery_attempts (delivery_id, number) VALUES (:id, 1)"), {"id": delivery}
    )
    routed.connection.execute(
        text("UPDATE deliveries SET sending = true, claims = 1, lease_until = now() WHERE id = :id"), {"id": delivery}
    )
    with worker_engine.begin() as connection:
        restoring.note(connection)
    with worker_engine.connect() as connection:
        assert audit(connection).ok
    row = routed.connection.execute(text("SELECT outcome, finished_at FROM delivery_attempts")).one()
    assert row.outcome == Outcome.UNKNOWN
    claims = routed.connection.scalar(text("SELECT claims FROM deliveries WHERE id = :id"), {"id": delivery})
    assert claims == 2  # whoever comes back with the old one changes nothing


def test_doing_it_twice_is_harmless(routed: Domain, database: str) -> None:
    planner(database, "restored")
    done = planner(database, "restored")
    assert (done.returncode, done.stdout) == (0, "nothing is new to quarantine\n")
    assert count(routed.connection) == 1


def test_while_services_run_it_is_refused(routed: Domain, database: str, worker_engine: Engine) -> None:
    with worker_engine.begin() as connection:
        connection.execute(text("SET LOCAL application_name = 'planner-worker'"))
        done = planner(database, "restored")
    assert done.returncode == 1
    assert "stop the services first: planner-worker" in done.stderr
    assert count(routed.connection) == 0


def test_a_restored_database_is_told_by_its_birthmark(routed: Domain, database: str) -> None:
    connection = routed.connection
    assert "restored" not in planner(database, "migrate").stdout
    assert "restored" not in planner(database, "migrate").stdout
    connection.execute(text("VACUUM (FREEZE) birthmarks"))
    assert "restored" not in planner(database, "migrate").stdout
    assert connection.scalar(UNFINISHED)
    # As COPY does: the same row, written by another transaction.
    mark = connection.execute(select(birthmarks)).one()
    connection.execute(delete(birthmarks))
    connection.execute(birthmarks.insert().values(mark._mapping))
    assert "it was restored from a backup: 5 deliveries" in planner(database, "migrate").stdout
    assert connection.scalar(UNFINISHED) == 0
    assert "restored" not in planner(database, "migrate").stdout
    assert count(connection) == 1


@pytest.mark.parametrize("held", [False, True])
def test_changes_that_were_not_told_count(domain: Domain, worker_engine: Engine, held: bool) -> None:
    event = domain.event(ANN, BOB, CAT)
    if held:
        domain.connection.execute(text("UPDATE changes SET held_at = now()"))
    with worker_engine.begin() as connection:
        noted = restoring.note(connection)
    assert (noted.quarantined, noted.changes, noted.is_new) == (0, 1, True)
    assert domain.connection.scalar(select(restores.c.last_change)) == event.creation
