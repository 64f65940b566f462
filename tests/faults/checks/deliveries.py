"""Each notification that is to go out by mail has one delivery, which agrees with what the sink took (I3)."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from planner_common.people import person_id

from tests.faults.checks import Violation
from tests.faults.evidence import Attempt, Change, Delivery, Evidence, Held, Mute, Route

MISSING = "a delivery is missing"
EXTRA = "a delivery is extra"
TWICE = "a delivery is there twice"
OFF = "a change was told as if there were no e-mail"
LOST = "a mail was sent, as they say, and never came"
UNSAID = "a mail came that is not written down as sent, nor as unknown"
DUPLICATE = "a mail came more than once, without a mark"
STRANGE = "a mail that belongs to no delivery"
ASTRAY = "a mail to somebody else"
UNTRIED = "sent, as they say, without a try that was accepted"
OPEN = "a try is left open"
UNMARKED = "a try is unknown, its delivery is not marked"

UNLESS_SAID = {"invitation", "update", "reschedule", "cancellation", "restoration", "removal", "reminder"}
"""Kinds that go out by mail unless a person has said otherwise: all but `response`."""

Interval = TypeVar("Interval", Route, Mute)


def check(evidence: Evidence) -> Iterator[Violation]:
    yield from _due(evidence.held)
    yield from _outcomes(evidence)
    yield from _attempts(evidence.held)


def _due(held: Held) -> Iterator[Violation]:
    there = Counter((one.change_id, one.person_id) for one in held.deliveries if one.channel_id == one.person_id)
    wishes = Wishes(held)
    for notification in set(held.notifications):
        change = held.changes.get(notification.change_id)
        if change is None or change.fanned_out_at is None:
            continue
        person = notification.person_id
        number, due = there.pop((change.id, person), 0), int(wishes.wanted(change, person))
        if number != due:
            rule = MISSING if not number else TWICE if due else EXTRA
            yield Violation(rule, f"of {change.kind} {change.id}: person {person}")
    yield from (Violation(EXTRA, f"of change {change}: person {person}") for change, person in there)
    for change in held.changes.values():
        if change.notify and change.fanned_out_at is not None and not change.email_on:
            yield Violation(OFF, f"{change.kind} {change.id}")


class Wishes:
    """What people wanted to hear of by mail, and when."""

    def __init__(self, held: Held) -> None:
        self._mutes: dict[tuple[UUID, UUID], list[Mute]] = defaultdict(list)
        self._routes: dict[UUID, list[Route]] = defaultdict(list)
        for mute in held.mutes:
            self._mutes[mute.person_id, mute.event_id].append(mute)
        for route in held.routes:
            if route.channel_id == route.person_id:
                self._routes[route.person_id].append(route)

    def wanted(self, change: Change, person: UUID) -> bool:
        if _in_force(self._mutes[person, change.event_id], change.at):
            return False
        kind = "invitation" if change.kind == "creation" else change.kind
        said = _in_force(self._routes[person], change.at)
        return kind in (said[0].kinds if said else UNLESS_SAID)


def _in_force(rows: Sequence[Interval], at: datetime) -> list[Interval]:
    return [row for row in rows if row.since <= at and (row.until is None or row.until > at)]


def _outcomes(evidence: Evidence) -> Iterator[Violation]:
    deliveries: dict[UUID, list[Delivery]] = defaultdict(list)
    for delivery in evidence.held.deliveries:
        deliveries[delivery.message].append(delivery)
    for message, those in deliveries.items():
        number = evidence.times[message]
        for one in those:
            where = f"delivery {one.id}, {one.state} {one.reason or ''}: came {number} times"
            if one.state == "sent" and not number:
                yield Violation(LOST, where)
            if number and one.state in ("dead", "superseded") and not one.outcome_unknown:
                yield Violation(UNSAID, where)
            if number > 1 and not one.outcome_unknown:
                yield Violation(DUPLICATE, where)
    for mail in evidence.received:
        those = deliveries.get(mail.id, []) if mail.id else []
        if not those:
            yield Violation(STRANGE, f"{mail.message_id}")
        elif any(person_id(recipient) != those[0].person_id for recipient in mail.recipients):
            yield Violation(ASTRAY, f"delivery {those[0].id}")


def _attempts(held: Held) -> Iterator[Violation]:
    of: Mapping[UUID, list[Attempt]] = defaultdict(list)
    for attempt in held.attempts:
        of[attempt.delivery_id].append(attempt)
    for delivery in held.deliveries:
        outcomes = {attempt.outcome for attempt in of[delivery.message]}
        where = f"delivery {delivery.id}, {delivery.state}: {sorted(map(str, outcomes))}"
        if delivery.state == "sent" and "accepted" not in outcomes:
            yield Violation(UNTRIED, where)
        if delivery.finished_at is not None and None in outcomes:
            yield Violation(OPEN, where)
        if "unknown" in outcomes and not delivery.outcome_unknown:
            yield Violation(UNMARKED, where)
