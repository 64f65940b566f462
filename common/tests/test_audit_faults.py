"""Data broken on purpose: the audit calls each fault by its name, and finds nothing else."""

import pytest
from planner_common import audit
from planner_common.audit import Invariant
from sqlalchemy import Engine, text

from common.tests.delivered import break_it, faults, look
from common.tests.domain import Domain


def test_nothing_is_wrong(sent: Domain, worker_engine: Engine) -> None:
    found = look(worker_engine)
    assert found.ok
    assert (found.deliveries, found.states, found.due) == (5, {"sent": 5}, 0)
    assert found.named == {}


# What is broken of a log that is told and sent, and by which names it is found.
MUTATIONS = {
    "a notification is gone": (
        "DELETE FROM notifications WHERE (change_id, person_id) = (:first, :bob)",
        {"notification_missing": 1, "delivery_without_notification": 2},
    ),
    "a notification too many": (
        "INSERT INTO notifications (change_id, person_id) VALUES (:first, :dan)",
        {"notification_extra": 1},
    ),
    "a delivery is gone": (
        "DELETE FROM deliveries WHERE (change_id, channel_id) = (:first, :bob)",
        {"delivery_missing": 1},
    ),
    "a delivery too many, on a channel that does not take the kind": (
        """
        INSERT INTO deliveries (change_id, person_id, channel_id, type, state, finished_at)
        VALUES (:last, :cat, :cat, 'email', 'superseded', now())
        """,
        {"delivery_extra": 1},
    ),
    "a delivery of a change that never was": (
        "INSERT INTO deliveries (change_id, person_id, channel_id, type) VALUES (1000000000, :cat, :cat, 'email')",
        {"delivery_extra": 1, "delivery_without_notification": 1},
    ),
    "its attempt is gone": (
        "DELETE FROM delivery_attempts WHERE delivery_id = :delivery",
        {"sent_without_accepted_attempt": 1},
    ),
    "its attempt was refused": (
        "UPDATE delivery_attempts SET outcome = 'refused' WHERE delivery_id = :delivery",
        {"sent_without_accepted_attempt": 1},
    ),
    "it was sent, and is said to be dead": (
        "UPDATE deliveries SET state = 'dead' WHERE id = :delivery",
        {"accepted_but_not_sent": 1},
    ),
    "it was sent twice": (
        """
        INSERT INTO delivery_attempts (delivery_id, number, started_at, outcome)
        SELECT id, 2, finished_at - interval '1 s', 'accepted' FROM deliveries WHERE id = :delivery
        """,
        {"sent_more_than_once": 1},
    ),
    "a try was never ended": (
        "INSERT INTO delivery_attempts (delivery_id, number, started_at) VALUES (:delivery, 2, '2020-01-01')",
        {"attempt_open_on_finished": 1},
    ),
    "a try began when all was over": (
        "INSERT INTO delivery_attempts (delivery_id, number, outcome) VALUES (:delivery, 2, 'refused')",
        {"attempt_after_finish": 1},
    ),
    "it is due and nobody comes": (
        """
        UPDATE deliveries SET state = 'pending', finished_at = NULL, due_at = now() - interval '2 min'
        WHERE id = :delivery
        """,
        {"accepted_but_not_sent": 1, "delivery_stuck": 1},
    ),
    "it is being sent without a lease": (
        """
        UPDATE deliveries SET state = 'failed', finished_at = NULL, due_at = now() - interval '2 min',
        sending = true, lease_until = NULL
        WHERE id = :delivery
        """,
        {"accepted_but_not_sent": 1, "delivery_stuck": 1},
    ),
    "its lease ran out while it was sent": (
        """
        UPDATE deliveries SET state = 'failed', finished_at = NULL, due_at = now() - interval '2 min',
        sending = true, lease_until = now() - interval '1 min'
        WHERE id = :delivery
        """,
        {"accepted_but_not_sent": 1, "delivery_stuck": 1},
    ),
    "its lease lives, and has for long": (
        """
        UPDATE deliveries SET state = 'failed', finished_at = NULL, due_at = now() - interval '2 min',
        sending = true, lease_until = now() + interval '5 s'
        WHERE id = :delivery
        """,
        {"accepted_but_not_sent": 1, "delivery_stuck": 1},
    ),
    "its lease ends in a year": (
        """
        UPDATE deliveries SET state = 'failed', finished_at = NULL, lease_until = now() + interval '1 year'
        WHERE id = :delivery
        """,
        {"accepted_but_not_sent": 1, "delivery_stuck": 1},
    ),
    "it is put off for ever": (
        "UPDATE deliveries SET state = 'failed', finished_at = NULL, due_at = 'infinity' WHERE id = :delivery",
        {"accepted_but_not_sent": 1, "delivery_stuck": 1},
    ),
    "a test of a channel that nobody sends": (
        """
        INSERT INTO deliveries (person_id, channel_id, type, purpose, due_at)
        VALUES (:bob, :bob, 'email', 'test', now() - interval '2 min')
        """,
        {"delivery_stuck": 1},
    ),
    "two have the only place": (
        """
        WITH seated AS (UPDATE participants SET response = 'accepted')
        UPDATE events SET capacity = 1
        """,
        {"overbooked": 1},
    ),
    "somebody waits, and a place is free": (
        """
        WITH waits AS (UPDATE participants SET response = 'tentative', waiting_since = :last WHERE person_id = :cat)
        UPDATE events SET capacity = 1
        """,
        {"place_unused": 1},
    ),
    "somebody waits, and there is no end of places": (
        "UPDATE participants SET response = 'tentative', waiting_since = :last WHERE person_id = :cat",
        {"place_unused": 1},
    ),
    "a change that nobody fans out": (
        """
        INSERT INTO changes (event_id, revision, kind, audience_size, at)
        SELECT event_id, 99, 'update', 2, now() - interval '2 min' FROM changes WHERE id = :first
        """,
        {"change_stuck": 1},
    ),
    "a change that is leased for a year": (
        """
        INSERT INTO changes (event_id, revision, kind, audience_size, lease_until)
        SELECT event_id, 99, 'update', 2, now() + interval '1 year' FROM changes WHERE id = :first
        """,
        {"change_stuck": 1},
    ),
    "a change whose lease is absent, let go long ago": (
        """
        INSERT INTO changes (event_id, revision, kind, audience_size, at, decided_by, decided_at)
        SELECT event_id, 99, 'update', 2, now() - interval '1 h', actor, now() - interval '2 min'
        FROM changes WHERE id = :first
        """,
        {"change_stuck": 1},
    ),
}


@pytest.mark.parametrize(("statement", "names"), MUTATIONS.values(), ids=MUTATIONS)
def test_a_fault_is_called_by_its_name(
    sent: Domain, worker_engine: Engine, statement: str, names: dict[str, int]
) -> None:
    break_it(sent.connection, statement)
    found = look(worker_engine)
    assert {name.value: number for name, number in found.violations.items() if number} == names
    assert {name.value: len(found.named[name]) for name in found.named if isinstance(name, Invariant)} == names


@pytest.mark.parametrize(("statement", "names"), MUTATIONS.values(), ids=MUTATIONS)
def test_an_audit_of_the_last_hour_finds_it_too(
    sent: Domain, worker_engine: Engine, statement: str, names: dict[str, int]
) -> None:
    """By other plans: what hangs on the changes, and no more. What belongs to no change is not of any hour."""
    break_it(sent.connection, statement)
    hour_ago = str(sent.connection.scalar(text("SELECT now() - interval '1 hour'")))
    assert faults(worker_engine, hour_ago) == ({} if "1000000000" in statement else names)


def test_a_state_that_there_is_not(sent: Domain, worker_engine: Engine) -> None:
    with worker_engine.connect() as connection:  # the constraint is back when this is not committed
        connection.exec_driver_sql("ALTER TABLE deliveries DROP CONSTRAINT ck_deliveries_state")
        connection.exec_driver_sql(
            "UPDATE deliveries SET state = 'lost' WHERE id = (SELECT id FROM deliveries ORDER BY id LIMIT 1)"
        )
        found = audit.look(connection)
    assert found.violations[Invariant.STATE_SUM] == 1
    assert found.deliveries == 5


def test_a_digest_is_accepted_once_for_all_in_it(sent: Domain, worker_engine: Engine) -> None:
    """The try is that of the first delivery, whose id the others bear as their message's."""
    sent.connection.execute(
        text("""
            WITH first AS (SELECT min(id::text)::uuid AS id FROM deliveries),
            other AS (UPDATE deliveries SET message_id = first.id FROM first RETURNING deliveries.id, first.id AS first)
            DELETE FROM delivery_attempts a USING other WHERE a.delivery_id = other.id AND other.id <> other.first
        """)
    )
    assert faults(worker_engine) == {}
    sent.connection.execute(text("UPDATE delivery_attempts SET outcome = 'later'"))
    assert faults(worker_engine) == {"sent_without_accepted_attempt": 5}
