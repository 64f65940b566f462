"""Who is told of a change: `changes.AUDIENCE` and, by another query, the audit agree on it."""

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planner_common.audit import DUE
from planner_common.changes import AUDIENCE, Kind, told_as
from sqlalchemy import Connection, text

from common.tests.domain import Domain

ANN, BOB, CAT, DAN = (f"{name}@example.org" for name in ("ann", "bob", "cat", "dan"))

FAN_OUT = text(f"""
    WITH due AS (SELECT id, event_id, kind, actor, notify FROM changes),
    told AS (INSERT INTO notifications (change_id, person_id) SELECT * FROM ({AUDIENCE}) a ON CONFLICT DO NOTHING)
    UPDATE changes SET fanned_out_at = now()
""")


def test_the_first_participants_are_invited_and_the_organizer_is_not(domain: Domain) -> None:
    event = domain.event(ANN, ANN, BOB, CAT)
    domain.connection.execute(FAN_OUT)
    assert domain.told(event.creation) == [BOB, CAT]


def test_only_those_who_are_added_are_invited(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    change = domain.change(event, Kind.INVITATION, actor=ANN, add=[CAT])
    domain.connection.execute(FAN_OUT)
    assert domain.told(change) == [CAT]


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RESCHEDULE, Kind.CANCELLATION, Kind.RESTORATION])
def test_a_change_of_the_event_is_told_to_all_who_are_in_it_at_that_moment(domain: Domain, kind: Kind) -> None:
    event = domain.event(ANN, ANN, BOB, CAT)
    domain.change(event, Kind.REMOVAL, actor=ANN, remove=[BOB])
    change = domain.change(event, kind, actor=ANN)
    domain.change(event, Kind.REMOVAL, actor=ANN, remove=[CAT])
    domain.change(event, Kind.INVITATION, actor=ANN, add=[BOB, DAN])
    domain.connection.execute(FAN_OUT)
    assert domain.told(change) == [CAT]


def test_the_organizer_is_told_once_of_what_another_or_nobody_did(domain: Domain) -> None:
    event = domain.event(ANN, ANN, BOB)
    by_bob = domain.change(event, Kind.UPDATE, actor=BOB)
    by_the_system = domain.change(event, Kind.CANCELLATION, actor=None)
    domain.connection.execute(FAN_OUT)
    assert domain.told(by_bob) == [ANN]
    assert domain.told(by_the_system) == [ANN, BOB]


def test_a_removal_is_told_to_those_who_go(domain: Domain) -> None:
    event = domain.event(ANN, BOB, CAT)
    by_ann = domain.change(event, Kind.REMOVAL, actor=ANN, remove=[BOB])
    by_herself = domain.change(event, Kind.REMOVAL, actor=CAT, remove=[CAT])
    domain.connection.execute(FAN_OUT)
    assert domain.told(by_ann) == [BOB]
    assert domain.told(by_herself) == []


def test_an_answer_is_told_to_the_organizer_alone(domain: Domain) -> None:
    event = domain.event(ANN, ANN, BOB, CAT)
    by_bob = domain.change(event, Kind.RESPONSE, actor=BOB)
    by_ann = domain.change(event, Kind.RESPONSE, actor=ANN)
    domain.connection.execute(FAN_OUT)
    assert domain.told(by_bob) == [ANN]
    assert domain.told(by_ann) == []


def test_a_promotion_is_told_to_those_who_have_a_place_whatever_they_do_later(domain: Domain) -> None:
    event = domain.event(ANN, BOB, CAT, DAN)
    promotion = domain.change(event, Kind.PROMOTION, actor=None, promote=[BOB, CAT])
    domain.change(event, Kind.REMOVAL, actor=ANN, remove=[CAT])
    domain.connection.execute(FAN_OUT)
    assert domain.told(promotion) == [BOB, CAT]


def test_nobody_is_told_of_a_deletion_or_of_what_is_not_to_be_told(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    deletion = domain.change(event, Kind.DELETION, actor=ANN)
    quiet = domain.change(event, Kind.UPDATE, actor=ANN, notify=False)
    domain.connection.execute(FAN_OUT)
    assert domain.told(deletion) == []
    assert domain.told(quiet) == []


def test_a_creation_reads_as_an_invitation_and_a_promotion_as_an_update() -> None:
    assert told_as(Kind.CREATION) == "invitation"
    assert told_as(Kind.RESCHEDULE) == "reschedule"
    assert told_as(Kind.PROMOTION) == "update"


PEOPLE = [ANN, BOB, CAT, DAN]
STEPS = st.lists(
    st.tuples(st.sampled_from(Kind), st.sampled_from([*PEOPLE, None]), st.sets(st.sampled_from(PEOPLE)), st.booleans()),
    max_size=8,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(invited=st.sets(st.sampled_from(PEOPLE)), steps=STEPS)
def test_whatever_happens_the_audit_agrees(
    connection: Connection,
    invited: set[str],
    steps: list[tuple[Kind, str | None, set[str], bool]],
) -> None:
    """Two queries, written apart, derive the same notifications from any log: neither forgets an end of an interval."""
    connection.exec_driver_sql("TRUNCATE accounts, events, changes, participants, notifications, promotions CASCADE")
    domain = Domain(connection)
    event = domain.event(ANN, *invited)
    now_in = set(invited)
    for kind, actor, people, notify in steps:
        add = people - now_in if kind is Kind.INVITATION else set()
        remove = people & now_in if kind is Kind.REMOVAL else set()
        promote = people & now_in if kind is Kind.PROMOTION else set()
        now_in = (now_in | add) - remove
        domain.change(event, kind, actor=actor, add=add, remove=remove, promote=promote, notify=notify)
    connection.execute(FAN_OUT)

    def pairs(statement: str, **parameters: str | None) -> set[tuple[int, UUID]]:
        return {(row[0], row[1]) for row in connection.execute(text(statement), parameters)}

    assert pairs("SELECT change_id, person_id FROM notifications") == pairs(DUE, since="-infinity", event=None)
