"""Each change is told to those whom it concerns, once: none missing, none extra, none twice (I2)."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from uuid import UUID

from tests.faults.checks import Violation
from tests.faults.evidence import Evidence

MISSING = "a notification is missing"
EXTRA = "a notification is extra"
TWICE = "a notification is there twice"


def check(evidence: Evidence) -> Iterator[Violation]:
    held = evidence.held
    there: dict[int, Counter[UUID]] = defaultdict(Counter)
    for notification in held.notifications:
        there[notification.change_id][notification.person_id] += 1
    for change in held.changes.values():
        if change.fanned_out_at is None:
            continue  # a matter of liveness
        told = there.pop(change.id, Counter())
        due = held.due(change)
        where = f"of {change.kind} {change.id}"
        yield from (Violation(MISSING, f"{where}: person {person}") for person in due - told.keys())
        yield from (Violation(EXTRA, f"{where}: person {person}") for person in told.keys() - due)
        yield from (Violation(TWICE, f"{where}: person {person}") for person, number in told.items() if number > 1)
    for number, people in there.items():
        if number not in held.changes or not held.due(held.changes[number]) >= people.keys():
            yield Violation(EXTRA, f"of change {number}, which has not been told or is not there")


def number_due(evidence: Evidence) -> int:
    return sum(len(evidence.held.due(change)) for change in evidence.held.changes.values())
