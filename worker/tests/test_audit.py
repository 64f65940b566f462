"""The audit as a task: what it keeps for the exporter, and that two do not run at once."""

import pytest
from planner_common.audit import Information, Invariant
from planner_worker.tasks.audit import ALONE, audit
from sqlalchemy import Connection, Engine, text
from structlog.testing import capture_logs

from common.tests.delivered import break_it, log, send

pytestmark = pytest.mark.usefixtures("settings")


def kept(connection: Connection) -> list[dict[str, int]]:
    return list(connection.execute(text("SELECT violations FROM audits ORDER BY id")).scalars())


def test_it_keeps_what_it_finds(connection: Connection) -> None:
    log(connection)
    send(connection)
    assert audit() == {"changes": 3, "notifications": 5, "deliveries": 5, "faults": 0}
    break_it(connection, "DELETE FROM deliveries WHERE (change_id, channel_id) = (:first, :bob)")
    break_it(connection, "UPDATE deliveries SET outcome_unknown = true WHERE (change_id, channel_id) = (:last, :bob)")
    with capture_logs() as logs:
        assert audit()["faults"] == 1
    (line,) = logs
    assert (line["log_level"], line["invariant"], line["number"]) == ("error", "delivery_missing", 1)
    assert line["first"][0].startswith("change ")
    nothing = dict.fromkeys(map(str, Invariant), 0)
    assert kept(connection) == [nothing, nothing | {"delivery_missing": 1}]
    row = connection.execute(text("SELECT *, now() - at AS age FROM audits ORDER BY id DESC LIMIT 1")).one()
    assert row.information == dict.fromkeys(map(str, Information), 0) | {"outcome_unknown": 1}
    assert (row.at - row.since).days == 1
    assert 0 < row.seconds < row.age.total_seconds()


def test_older_changes_are_not_looked_at_and_old_deliveries_are(connection: Connection) -> None:
    log(connection)
    send(connection)
    connection.execute(text("UPDATE changes SET at = at - interval '25 hours'"))
    break_it(connection, "DELETE FROM notifications WHERE (change_id, person_id) = (:first, :bob)")
    break_it(
        connection,
        """
        UPDATE deliveries SET state = 'failed', finished_at = NULL, due_at = now() - interval '61 min'
         WHERE id = :delivery
        """,
    )
    assert audit() == {"changes": 0, "notifications": 0, "deliveries": 0, "faults": 1}
    assert kept(connection)[0]["delivery_stuck"] == 1


def test_two_do_not_run_at_once(connection: Connection, worker_engine: Engine) -> None:
    with worker_engine.begin() as other:
        assert other.scalar(ALONE)
        assert audit() == {"skipped": 1}
        assert kept(connection) == []
    assert audit() == {"changes": 0, "notifications": 0, "deliveries": 0, "faults": 0}
    assert len(kept(connection)) == 1
