"""Nothing is left lying: after a drain no row waits that is due, whatever keeps it from being found."""

from collections.abc import Iterator

from tests.faults.checks import Violation
from tests.faults.evidence import Evidence

UNTOLD = "a change that nobody fans out"
WAITING = "a delivery that is due and that nobody sends"
EXPIRED = "a lease has run out, and nobody has taken over"
LEFT = "a delivery is finished and still held"
HELD = "a change is held by the brake"


def check(evidence: Evidence) -> Iterator[Violation]:
    held = evidence.held
    for change in held.changes.values():
        where = f"{change.kind} {change.id}, made at {change.at}"
        if change.fanned_out_at is None and change.held_at is not None:
            yield Violation(HELD, where)
        elif change.fanned_out_at is None:
            expired = change.lease_until is not None and change.lease_until < held.now
            yield Violation(EXPIRED if expired else UNTOLD, f"{where}, lease {change.lease_until}")
    for delivery in held.deliveries:
        where = (
            f"delivery {delivery.id}, {delivery.state} {delivery.reason or ''}, due {delivery.due_at}, "
            f"lease {delivery.lease_until}{', sending' if delivery.sending else ''}"
        )
        if delivery.finished_at is not None:
            if delivery.sending or delivery.lease_until is not None:
                yield Violation(LEFT, where)
        elif delivery.lease_until is not None and delivery.lease_until < held.now:
            yield Violation(EXPIRED, where)
        elif delivery.sending or delivery.due_at <= held.now or delivery.reason not in ("quiet_hours", "digest"):
            yield Violation(WAITING, where)
