"""The checker sees what it is there for: each way to break the system, done to a world where all is well."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from planner_common.changes import Kind
from planner_common.people import person_id
from planner_worker.tasks.fan_out import statement
from sqlalchemy import Connection, text

from common.tests.domain import Domain
from tests.faults.checker import check
from tests.faults.checks import deliveries, liveness, notifications, reasons, staleness, writes
from tests.faults.evidence import ClientWrite, Delivery, Evidence, Mute, Received, held

ANN, BEN, CYD, NOBODY = (f"{name}@example.org" for name in ("ann", "ben", "cyd", "nobody"))
GONE = timedelta(seconds=9)
SENT = text("""
    WITH sent AS (
        UPDATE deliveries SET state = 'sent', finished_at = now(), told_revision = 1, claims = claims + 1
         WHERE finished_at IS NULL RETURNING id
    )
    INSERT INTO delivery_attempts (delivery_id, number, finished_at, outcome) SELECT id, 1, now(), 'accepted' FROM sent
""")


def write(number: int, actor: str, *changes: tuple[str, set[str]], **told: Any) -> ClientWrite:
    people = tuple((kind, frozenset(person_id(one) for one in those)) for kind, those in changes)
    return ClientWrite(f"w{number}", person_id(actor), people, told.pop("event"), "acknowledged", **told)


@pytest.fixture
def evidence(connection: Connection, database: str) -> Evidence:
    """An event's whole life: six changes, told by the real fan-out, and every mail in the sink."""
    domain = Domain(connection)
    event = domain.event(ANN, BEN, CYD, NOBODY)
    made = [
        event.creation,
        domain.change(event, Kind.UPDATE, actor=ANN),
        domain.change(event, Kind.RESPONSE, actor=BEN),
        domain.change(event, Kind.REMOVAL, actor=ANN, remove=[CYD]),
        domain.change(event, Kind.UPDATE, actor=ANN),
        domain.change(event, Kind.CANCELLATION, actor=ANN),
        domain.change(event, Kind.DELETION, actor=ANN, notify=False),
    ]
    connection.execute(statement(delivering=True), {"change_ids": made, "email_on": True})
    for state, reason, person in ("dead", "refused", NOBODY), ("superseded", "cancelled", BEN):
        connection.execute(
            text("""
                UPDATE deliveries SET state = :state, reason = :reason, finished_at = now()
                 WHERE person_id = :person AND (:state = 'dead' OR change_id = :change)
            """),
            {"state": state, "reason": reason, "person": person_id(person), "change": made[4]},
        )
    connection.execute(SENT)
    with psycopg.connect(database) as snapshot:
        there = held(snapshot)
    addresses = {person_id(email): email for email in (ANN, BEN, CYD)}
    mails = [
        Received(f"<{one.id}@localhost>", (addresses[one.person_id],), 0.0)
        for one in there.deliveries
        if one.state == "sent"
    ]
    asked = [
        write(1, ANN, ("creation", {BEN, CYD, NOBODY}), event=event.id, revision=1),
        write(2, ANN, ("update", {BEN, CYD, NOBODY}), event=event.id, revision=2),
        write(3, BEN, ("response", {ANN}), event=event.id),
        write(4, ANN, ("removal", {CYD}), event=event.id),
        write(5, ANN, ("update", {BEN, NOBODY}), event=event.id, revision=5),
        write(6, ANN, ("cancellation", {BEN, NOBODY}), ("deletion", set()), event=event.id, revision=7),
    ]
    return Evidence(asked, there, mails)


def rules(evidence: Evidence) -> set[str]:
    return set(check(evidence, [person_id(NOBODY)]).by_rule)


def test_where_all_is_well_nothing_is_found(evidence: Evidence) -> None:
    assert rules(evidence) == set()
    assert {one.state for one in evidence.held.deliveries} == {"sent", "dead", "superseded"}
    assert len(evidence.received) == 6


# ---- ways to break it. What is frozen is replaced; the evidence is each test's own.


def change(evidence: Evidence, kind: str, **columns: Any) -> None:
    """Alter the first change of a kind."""
    found = next(one for one in evidence.held.changes.values() if one.kind == kind)
    evidence.held.changes[found.id] = replace(found, **columns)


def delivery(evidence: Evidence, there: str, **columns: Any) -> Delivery:
    """Alter the first delivery in a state, `there`. Returns it as it was."""
    rows = list(evidence.held.deliveries)
    place = next(place for place, one in enumerate(rows) if one.state == there)
    was, rows[place] = rows[place], replace(rows[place], **columns)
    evidence.held.deliveries = rows
    return was


def no_change_row(evidence: Evidence) -> None:
    found = next(one for one in evidence.held.changes.values() if one.kind == "cancellation")
    del evidence.held.changes[found.id]
    evidence.held.changes_of[found.event_id].remove(found)


def made_twice(evidence: Evidence) -> None:
    found = next(one for one in evidence.held.changes.values() if one.kind == "response")
    evidence.held.changes[10_000] = replace(found, id=10_000, revision=8)


def done_by_half(evidence: Evidence) -> None:
    evidence.writes[-1] = replace(evidence.writes[-1], fate="unknown", revision=None)
    no_change_row(evidence)


def not_everyone_invited(evidence: Evidence) -> None:
    people = evidence.held.participants_of[evidence.writes[0].event]  # type: ignore[index]
    people.remove(next(one for one in people if one.email == BEN))


def refused_for_no_reason(evidence: Evidence) -> None:
    evidence.writes.append(replace(evidence.writes[0], id="w7", fate="refused", status=422))


def a_mute_forgotten(evidence: Evidence) -> None:
    evidence.writes.append(replace(evidence.writes[0], changes=(), mute=True))


def marked_before_it_was_told(evidence: Evidence) -> None:
    evidence.held.notifications = evidence.held.notifications[1:]


def no_conflict_clause(evidence: Evidence) -> None:
    evidence.held.notifications = [*evidence.held.notifications, evidence.held.notifications[0]]


def told_to_a_stranger(evidence: Evidence) -> None:
    stranger = replace(evidence.held.notifications[0], person_id=uuid4())
    evidence.held.notifications = [*evidence.held.notifications, stranger]


def never_fanned_out(evidence: Evidence) -> None:
    change(evidence, "update", fanned_out_at=None)


def fan_out_lost(evidence: Evidence) -> None:
    change(evidence, "update", fanned_out_at=None, lease_until=evidence.held.now - GONE)


def held_by_the_brake(evidence: Evidence) -> None:
    change(evidence, "update", fanned_out_at=None, held_at=evidence.held.now)


def told_without_mail(evidence: Evidence) -> None:
    change(evidence, "update", email_on=False)


def a_delivery_lost(evidence: Evidence) -> None:
    evidence.held.deliveries = [one for one in evidence.held.deliveries if one.state != "superseded"]


def a_delivery_twice(evidence: Evidence) -> None:
    more = [replace(one, id=uuid4()) for one in evidence.held.deliveries if one.state == "superseded"]
    evidence.held.deliveries = [*evidence.held.deliveries, *more]


def delivered_although_muted(evidence: Evidence) -> None:
    first = next(iter(evidence.held.changes.values()))
    evidence.held.mutes = [
        Mute(person_id=person_id(BEN), event_id=first.event_id, since=first.at - GONE, until=first.at + GONE)
    ]


def sent_into_nothing(evidence: Evidence) -> None:
    del evidence.received[0]


def sent_twice(evidence: Evidence) -> None:
    evidence.received.append(evidence.received[0])


def sent_under_another_id(evidence: Evidence) -> None:
    evidence.received.append(replace(evidence.received[0], message_id=f"<{uuid4()}@localhost>"))


def sent_without_an_id(evidence: Evidence) -> None:
    evidence.received.append(replace(evidence.received[0], message_id=None))


def sent_to_another(evidence: Evidence) -> None:
    evidence.received[0] = replace(evidence.received[0], recipients=(ANN,))


def not_written_down(evidence: Evidence) -> None:
    delivery(evidence, "sent", state="superseded", reason="cancelled", told_revision=None)


def sent_without_a_try(evidence: Evidence) -> None:
    evidence.held.attempts = []


def a_try_left_open(evidence: Evidence) -> None:
    attempt = evidence.held.attempts[0]
    evidence.held.attempts = [*evidence.held.attempts, replace(attempt, number=2, outcome=None, finished_at=None)]


def unknown_without_a_mark(evidence: Evidence) -> None:
    attempt = evidence.held.attempts[0]
    evidence.held.attempts = [*evidence.held.attempts, replace(attempt, number=2, outcome="unknown")]


def lease_run_out(evidence: Evidence) -> None:
    left = {"finished_at": None, "lease_until": evidence.held.now - GONE}
    delivery(evidence, "dead", state="pending", reason=None, sending=True, **left)


def no_lease_and_due(evidence: Evidence) -> None:
    delivery(evidence, "dead", state="failed", reason="retry", finished_at=None, due_at=evidence.held.now - GONE)


def sending_without_a_lease(evidence: Evidence) -> None:
    """Due far in the future, so that a look at what is due would never find it."""
    later = evidence.held.now + GONE
    delivery(evidence, "dead", state="pending", reason="digest", sending=True, finished_at=None, due_at=later)


def put_off_after_all(evidence: Evidence) -> None:
    later = evidence.held.now + GONE
    delivery(evidence, "dead", state="failed", reason="retry", finished_at=None, due_at=later)


def finished_and_held(evidence: Evidence) -> None:
    delivery(evidence, "sent", lease_until=evidence.held.now + GONE)


def given_up(evidence: Evidence) -> None:
    delivery(evidence, "dead", reason="tries")


def sent_although_cancelled(evidence: Evidence) -> None:
    """The client heard of the cancellation before the tries of what came earlier."""
    evidence.writes[-1] = replace(evidence.writes[-1], at=(evidence.held.now - GONE).timestamp())


def without_a_reason(evidence: Evidence) -> None:
    delivery(evidence, "superseded", reason=None)


BROKEN: dict[Callable[[Evidence], None], str] = {
    no_change_row: writes.LOST,
    made_twice: writes.UNEXPECTED,
    done_by_half: writes.HALF,
    not_everyone_invited: writes.AUDIENCE,
    a_mute_forgotten: writes.LOST,
    refused_for_no_reason: writes.REFUSED,
    marked_before_it_was_told: notifications.MISSING,
    no_conflict_clause: notifications.TWICE,
    told_to_a_stranger: notifications.EXTRA,
    never_fanned_out: liveness.UNTOLD,
    fan_out_lost: liveness.EXPIRED,
    held_by_the_brake: liveness.HELD,
    told_without_mail: deliveries.OFF,
    a_delivery_lost: deliveries.MISSING,
    a_delivery_twice: deliveries.TWICE,
    delivered_although_muted: deliveries.EXTRA,
    sent_into_nothing: deliveries.LOST,
    sent_twice: deliveries.DUPLICATE,
    sent_under_another_id: deliveries.STRANGE,
    sent_without_an_id: deliveries.STRANGE,
    sent_to_another: deliveries.ASTRAY,
    not_written_down: deliveries.UNSAID,
    sent_without_a_try: deliveries.UNTRIED,
    a_try_left_open: deliveries.OPEN,
    unknown_without_a_mark: deliveries.UNMARKED,
    lease_run_out: liveness.EXPIRED,
    no_lease_and_due: liveness.WAITING,
    sending_without_a_lease: liveness.WAITING,
    put_off_after_all: liveness.WAITING,
    finished_and_held: liveness.LEFT,
    given_up: reasons.GIVEN_UP,
    without_a_reason: reasons.UNTRUE,
    sent_although_cancelled: staleness.STALE,
}


@pytest.mark.parametrize(("broken", "rule"), BROKEN.items(), ids=[broken.__name__ for broken in BROKEN])
def test_it_is_caught(evidence: Evidence, broken: Callable[[Evidence], None], rule: str) -> None:
    broken(evidence)
    assert rule in rules(Evidence(evidence.writes, evidence.held, evidence.received))


def all_rules() -> Iterator[str]:
    for module in (writes, notifications, deliveries, reasons, staleness, liveness):
        yield from (value for name, value in vars(module).items() if name.isupper() and isinstance(value, str))


def test_every_rule_has_something_that_breaks_it() -> None:
    assert set(all_rules()) == set(BROKEN.values())


def test_a_mark_excuses_what_nobody_can_know(evidence: Evidence) -> None:
    """A mail that came twice, and one that came although its delivery was superseded afterwards."""
    twice = delivery(evidence, "sent", outcome_unknown=True)
    late = delivery(evidence, "superseded", outcome_unknown=True)
    evidence.received += [mail for mail in evidence.received if mail.id == twice.id]
    evidence.received.append(Received(f"<{late.id}@localhost>", (BEN,), 0.0))
    assert rules(Evidence(evidence.writes, evidence.held, evidence.received)) == set()


def test_a_write_without_an_answer_may_be_there_or_not(evidence: Evidence) -> None:
    unknown = replace(evidence.writes[1], fate="unknown", revision=None)
    never = replace(unknown, id="w7", changes=(("reschedule", frozenset()),))
    evidence.writes[1] = unknown
    evidence.writes.append(never)
    assert rules(evidence) == set()
    evidence.writes.remove(unknown)
    assert rules(evidence) == {writes.UNEXPECTED}


UNTRUE = ("restored", "changed_again", "already_told", "back", "answered_again", "over", "muted", "not_wanted", "pace")


@pytest.mark.parametrize("reason", UNTRUE)
def test_a_reason_that_is_not_true(evidence: Evidence, reason: str) -> None:
    change(evidence, "update", fields=["title"])
    fifth = next(one for one in evidence.held.changes.values() if one.revision == 5)
    evidence.held.changes[fifth.id] = replace(fifth, fields=["title"])
    delivery(evidence, "superseded", reason=reason)
    assert rules(evidence) == {reasons.UNTRUE}
