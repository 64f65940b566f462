import pytest
from planner_common.doctor import Status
from planner_common.vitals import DUE_COUNTED
from sqlalchemy import Connection, text

from common.tests.doctor.conftest import Look
from common.tests.domain import Domain

AUDIT = text("""
    INSERT INTO audits (at, since, seconds, violations, information)
    SELECT now() - make_interval(secs => :age), now(), 1, jsonb_build_object('delivery_missing', :faults, 'extra', 0),
           '{}'
""")
DUE = text("""
    INSERT INTO deliveries (person_id, channel_id, type, due_at, state, finished_at)
    SELECT uuidv7(), uuidv7(), 'email', now() - make_interval(secs => :age), CAST(:state AS text),
           CASE WHEN :state = 'dead' THEN now() END
      FROM generate_series(1, :number)
""")


def test_nothing_to_do(look: Look, connection: Connection) -> None:
    connection.execute(AUDIT, {"age": 10, "faults": 0})
    for name in ("backlog", "dead letters", "held changes", "audit"):
        finding = look(name)
        assert (finding.status, finding.advice) == (Status.OK, ""), finding


@pytest.mark.parametrize(("age", "status"), [(5, Status.OK), (90, Status.WARNING), (3600, Status.FAILED)])
def test_work_that_waits(look: Look, connection: Connection, age: int, status: Status) -> None:
    connection.execute(DUE, {"age": age, "state": "failed", "number": 2})
    finding = look("backlog")
    assert finding.status is status
    assert finding.found.startswith("2 wait; the oldest for ")
    assert finding.found.endswith("for deliver")


def test_changes_that_wait(look: Look, connection: Connection) -> None:
    Domain(connection).event("ann@example.org")
    connection.exec_driver_sql("UPDATE changes SET at = now() - interval '1 hour'")
    finding = look("backlog")
    assert finding.status is Status.FAILED
    assert finding.found.endswith("for fan_out")


def test_more_than_is_counted(look: Look, connection: Connection) -> None:
    connection.execute(DUE, {"age": 5, "state": "pending", "number": DUE_COUNTED + 1})
    assert look("backlog").found.startswith(f"{DUE_COUNTED:,} or more wait")


def test_what_was_given_up(look: Look, connection: Connection) -> None:
    connection.execute(DUE, {"age": 5, "state": "dead", "number": 3})
    finding = look("dead letters")
    assert (finding.status, finding.found) == (Status.WARNING, "3 deliveries were given up")
    assert finding.advice == "planner dead list"


def test_what_an_admin_is_to_decide(look: Look, connection: Connection) -> None:
    Domain(connection).event("ann@example.org")
    connection.exec_driver_sql("UPDATE changes SET held_at = now() - interval '10 minutes'")
    assert look("held changes").status is Status.OK
    connection.exec_driver_sql("UPDATE changes SET held_at = now() - interval '2 hours'")
    assert look("held changes").status is Status.WARNING
    assert look("backlog").status is Status.OK


def test_audits(look: Look, connection: Connection) -> None:
    finding = look("audit")
    assert (finding.status, finding.found) == (Status.WARNING, "none was made yet")
    connection.execute(AUDIT, {"age": 8000, "faults": 0})
    assert look("audit").status is Status.WARNING
    assert look("audit", audit_seconds=7200).status is Status.OK
    connection.execute(AUDIT, {"age": 10, "faults": 4})
    finding = look("audit")
    assert finding.status is Status.FAILED
    assert finding.found.endswith("s ago: 4 delivery_missing")
