"""`planner audit`, typed: what it is told to look at, what it prints, how it exits."""

import json
import os
import subprocess
from typing import Any
from uuid import UUID

import pytest
from planner_common.people import person_id
from sqlalchemy import text

from common.tests.delivered import ANN, BOB, break_it, send
from common.tests.domain import Domain
from common.tests.test_cli import PLANNER, planner
from tests.system import until

LOOKING = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'planner-cli'")


def report(database: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = planner(database, "audit", "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def test_one_event_alone(sent: Domain, database: str) -> None:
    other = sent.event(ANN, BOB)
    status, found = report(database, "--event", str(other.id), "--stuck", "0")
    assert (found["events"], found["changes"], found["deliveries"]) == (1, 1, 0)
    assert found["violations"]["change_stuck"] == 1
    assert status == 1
    mine = sent.connection.scalar(text("SELECT event_id FROM changes ORDER BY id LIMIT 1"))
    break_it(sent.connection, "DELETE FROM notifications WHERE (change_id, person_id) = (:first, :bob)")
    status, found = report(database, "--event", str(mine), "--stuck", "0")
    assert (found["events"], found["changes"], found["notifications"], found["deliveries"]) == (1, 3, 4, 5)
    faults = {name: number for name, number in found["violations"].items() if number}
    assert faults == {"notification_missing": 1, "delivery_without_notification": 2}
    _, found = report(database, "--event", str(other.id), "--stuck", "60")
    assert found["ok"]


def test_what_is_named_tells_which_row_it_is(sent: Domain, database: str) -> None:
    break_it(sent.connection, "UPDATE deliveries SET outcome_unknown = true WHERE id = :delivery")
    break_it(sent.connection, "DELETE FROM deliveries WHERE (change_id, channel_id) = (:last, :bob)")
    status, found = report(database)
    assert status == 1
    first, last = sent.connection.execute(text("SELECT min(id), max(id) FROM changes")).one()
    bob = str(person_id(BOB))
    assert found["first"]["delivery_missing"] == [{"change": last, "person": bob, "channel": bob}]
    (unknown,) = found["first"]["outcome_unknown"]
    delivery = sent.connection.scalar(text("SELECT id::text FROM deliveries WHERE outcome_unknown"))
    assert unknown == {"change": first, "person": bob, "channel": bob, "delivery": delivery}
    assert found["information"] == {"held": 0, "undecided": 0, "outcome_unknown": 1, "dead": 0, "quarantined": 0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--event", str(UUID(int=1))], "there is no event"), (["--event", "1"], "--event")],
)
def test_an_event_that_is_none(database: str, arguments: list[str], said: str) -> None:
    done = planner(database, "audit", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_it_waits_for_deliveries_that_are_due(routed: Domain, database: str) -> None:
    done = planner(database, "audit", "--wait", "0.3")
    assert "5 deliveries, 5 pending; 5 due now" in done.stdout
    command, environment = [PLANNER, "audit", "--wait", "60"], os.environ | {"DATABASE_URL": database}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as run:
        until(lambda: bool(routed.connection.scalar(LOOKING)), "it looks")
        send(routed.connection)
        output, _ = run.communicate(timeout=30)
    assert b"5 deliveries, 5 sent; 0 due now" in output


def test_a_database_without_tables() -> None:
    done = planner(os.environ["PLANNER_TEST_POSTGRES"] + "postgres", "audit")
    assert done.returncode == 75
    assert "planner migrate" in done.stderr
    assert "Traceback" not in done.stderr
