"""`planner audit` finds each kind of fault, and none where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from planner_common.audit import Findings, Invariant, audit
from planner_common.changes import Kind
from planner_common.people import person_id
from sqlalchemy import Connection, Engine, text

from common.tests.domain import Domain
from common.tests.test_changes import ANN, BOB, CAT, DAN, FAN_OUT

PLANNER = Path(sys.executable).with_name("planner")


@pytest.fixture
def told(domain: Domain) -> Domain:
    """Four changes, whose notifications are as they should be."""
    event = domain.event(ANN, BOB, CAT)
    domain.change(event, Kind.RESPONSE, actor=BOB)
    domain.change(event, Kind.REMOVAL, actor=ANN, remove=[CAT])
    domain.change(event, Kind.UPDATE, actor=ANN, notify=False)
    domain.connection.execute(FAN_OUT)
    return domain


def report(database: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [PLANNER, "audit", "--json", *arguments],
        env=os.environ | {"DATABASE_URL": database},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_all_is_well(told: Domain, worker_engine: Engine) -> None:
    with worker_engine.connect() as connection:
        found = audit(connection)
    assert found.ok
    assert (found.events, found.changes, found.notifications, found.pending) == (1, 4, 4, 0)


def test_one_that_is_missing(told: Domain, database: str) -> None:
    told.connection.execute(text("DELETE FROM notifications WHERE person_id = :bob"), {"bob": person_id(BOB)})
    status, found = report(database)
    assert status == 1
    assert found["missing"] == 1
    assert found["missing_first"] == [{"change": first_change(told.connection), "person": str(person_id(BOB))}]
    assert found["extra"] == 0


def first_change(connection: Connection) -> int:
    number = connection.scalar(text("SELECT min(id) FROM changes"))
    assert isinstance(number, int)
    return number


def named(found: Findings, invariant: Invariant) -> list[tuple[int | None, UUID | None]]:
    return [(fault.change, fault.person) for fault in found.named[invariant]]


def add(connection: Connection, change: int, person: str) -> None:
    connection.execute(
        text("INSERT INTO notifications (change_id, person_id) VALUES (:change, :person)"),
        {"change": change, "person": person_id(person)},
    )


def test_one_too_many(told: Domain, worker_engine: Engine) -> None:
    first = first_change(told.connection)
    add(told.connection, first, DAN)
    with worker_engine.connect() as connection:
        found = audit(connection)
    assert named(found, Invariant.NOTIFICATION_EXTRA) == [(first, person_id(DAN))]
    assert found.missing_count == 0
    assert not found.ok


def test_one_of_a_change_that_is_not_to_be_told(told: Domain, worker_engine: Engine) -> None:
    quiet = told.connection.scalar(text("SELECT id FROM changes WHERE NOT notify"))
    assert isinstance(quiet, int)
    add(told.connection, quiet, BOB)
    with worker_engine.connect() as connection:
        assert named(audit(connection), Invariant.NOTIFICATION_EXTRA) == [(quiet, person_id(BOB))]


def test_one_of_a_change_that_never_was(told: Domain, worker_engine: Engine) -> None:
    add(told.connection, 10**9, BOB)
    with worker_engine.connect() as connection:
        assert named(audit(connection), Invariant.NOTIFICATION_EXTRA) == [(10**9, person_id(BOB))]


def test_one_of_a_change_that_is_not_marked_as_told(told: Domain, worker_engine: Engine) -> None:
    first = first_change(told.connection)
    told.connection.execute(text("UPDATE changes SET fanned_out_at = NULL WHERE id = :id"), {"id": first})
    with worker_engine.connect() as connection:
        found = audit(connection)
    assert found.pending == 1
    assert found.extra_count == 2


def test_many_faults_are_counted_and_the_first_are_listed(told: Domain, worker_engine: Engine) -> None:
    first = first_change(told.connection)
    for number in range(30):
        add(told.connection, first, f"extra-{number}@example.org")
    with worker_engine.connect() as connection:
        found = audit(connection)
    assert found.extra_count == 30
    assert len(named(found, Invariant.NOTIFICATION_EXTRA)) == 20
    with worker_engine.connect() as connection:
        found = audit(connection, listed=None)
    assert len(named(found, Invariant.NOTIFICATION_EXTRA)) == 30


def test_only_changes_since_an_instant(told: Domain, worker_engine: Engine) -> None:
    told.connection.execute(
        text("UPDATE changes SET at = '2020-01-01' WHERE id = :id"), {"id": first_change(told.connection)}
    )
    told.connection.execute(
        text("DELETE FROM notifications WHERE change_id = :id"), {"id": first_change(told.connection)}
    )
    with worker_engine.connect() as connection:
        assert audit(connection).missing_count == 2
    with worker_engine.connect() as connection:
        assert audit(connection, since="2020-01-02").missing_count == 0


def test_an_instant_that_is_none(database: str) -> None:
    done = subprocess.run(
        [PLANNER, "audit", "--since", "yesteryear"],
        env=os.environ | {"DATABASE_URL": database},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "yesteryear" in done.stderr
    assert "Traceback" not in done.stderr


def test_postgresql_that_is_away() -> None:
    done = subprocess.run(
        [PLANNER, "audit"],
        env=os.environ | {"DATABASE_URL": "postgresql://planner:secret@127.0.0.1:1/planner"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 75
    assert "PostgreSQL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
