"""What looks like a fault and is none, and what the audit says of it."""

import pytest
from planner_common.audit import Information, Invariant
from planner_common.deliveries import ChannelType
from planner_common.people import person_id
from sqlalchemy import Connection, Engine, text

from common.tests.delivered import ANN, BOB, CAT, break_it, fan_out, faults, look, route
from common.tests.domain import Domain


def test_what_is_known_to_be_unknown_is_no_fault(sent: Domain, worker_engine: Engine) -> None:
    break_it(
        sent.connection,
        """
        INSERT INTO delivery_attempts (delivery_id, number, started_at, outcome)
        VALUES (:delivery, 2, '2020-01-01', 'accepted')
        """,
    )
    break_it(sent.connection, "UPDATE deliveries SET outcome_unknown = true WHERE id = :delivery")
    found = look(worker_engine)
    assert found.ok
    assert found.information[Information.OUTCOME_UNKNOWN] == 1
    assert len(found.named[Information.OUTCOME_UNKNOWN]) == 1


def test_dead_ones_are_counted_and_named(routed: Domain, worker_engine: Engine) -> None:
    break_it(routed.connection, "UPDATE deliveries SET state = 'dead', finished_at = now() WHERE id = :delivery")
    found = look(worker_engine)
    assert found.ok
    assert found.information[Information.DEAD] == len(found.named[Information.DEAD]) == 1


def test_what_is_due_is_no_fault_before_its_time(routed: Domain, worker_engine: Engine) -> None:
    found = look(worker_engine)
    assert found.ok
    assert found.due == 5
    routed.connection.execute(text("UPDATE deliveries SET due_at = now() + interval '25 hours'"))
    found = look(worker_engine)
    assert found.ok
    assert found.due == 0


def test_a_held_change_is_neither_pending_nor_stuck(routed: Domain, worker_engine: Engine) -> None:
    break_it(
        routed.connection,
        """
        INSERT INTO changes (event_id, revision, kind, audience_size, at, held_at)
        SELECT event_id, 99, 'update', 2, now() - interval '2 h', now() - interval '1 h' FROM changes
        WHERE id = :first
        """,
    )
    found = look(worker_engine)
    assert found.ok
    assert found.pending == 0
    assert found.information[Information.HELD] == 1
    routed.connection.execute(
        text("UPDATE changes SET held_at = NULL, decided_by = actor, decided_at = now() WHERE held_at IS NOT NULL")
    )
    found = look(worker_engine)
    assert found.ok  # it is due from now on
    assert found.pending == 1


JUST_BEFORE = "-10 seconds"


@pytest.mark.parametrize(("since", "until"), [(JUST_BEFORE, None), ("-1 hour", JUST_BEFORE)])
def test_a_route_that_changed_right_before_may_have_been_seen_or_not(
    connection: Connection, worker_engine: Engine, since: str, until: str | None
) -> None:
    """Its transaction may commit after the fan-out looked, and before the audit does."""
    domain = Domain(connection)
    domain.event(ANN, BOB)
    fan_out(connection)
    channel = route(connection, BOB, ["invitation"], type=ChannelType.WEBHOOK, since=since, until=until)
    connection.execute(text("DELETE FROM deliveries WHERE channel_id = :channel"), {"channel": channel})
    expected = int(until is None)  # it was in force, and nothing is there
    assert look(worker_engine).information[Information.UNDECIDED] == expected
    connection.execute(
        text("""
            INSERT INTO deliveries (change_id, person_id, channel_id, type)
            SELECT max(id), :person, :channel, 'webhook' FROM changes
        """),
        {"person": person_id(BOB), "channel": channel},
    )
    found = look(worker_engine)
    assert found.ok
    assert found.information[Information.UNDECIDED] == 1 - expected
    connection.execute(text("UPDATE routes SET since = since - interval '1 hour', until = until - interval '1 hour'"))
    assert faults(worker_engine) == ({"delivery_extra": 1} if until else {})


def test_a_mute_that_began_right_before_may_have_been_seen_or_not(
    connection: Connection, worker_engine: Engine
) -> None:
    event = Domain(connection).event(ANN, BOB, CAT)
    fan_out(connection)
    connection.execute(
        text("""
            INSERT INTO mutes (person_id, event_id, since)
            VALUES (:bob, :event, now() - interval '10 s'), (:cat, :event, now() - interval '40 s')
        """),
        {"bob": person_id(BOB), "cat": person_id(CAT), "event": event.id},
    )
    found = look(worker_engine)
    assert found.information[Information.UNDECIDED] == 1
    assert [fault.person for fault in found.named[Invariant.DELIVERY_EXTRA]] == [person_id(CAT)]


def test_without_e_mail_only_other_channels_are_due(connection: Connection, worker_engine: Engine) -> None:
    route(connection, BOB, ["invitation"], type=ChannelType.WEBHOOK)
    Domain(connection).event(ANN, BOB)
    fan_out(connection, email_on=False)
    found = look(worker_engine)
    assert found.ok
    assert found.deliveries == 1
    connection.execute(text("UPDATE changes SET email_on = true"))
    assert faults(worker_engine) == {"delivery_missing": 1}
