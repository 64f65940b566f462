"""Once a client knows that its event is cancelled, no mail is begun that says anything else."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.faults.checks import Violation
from tests.faults.evidence import Change, Evidence

STALE = "a mail was begun of what had been cancelled"

SAID_ANYWAY = ("cancellation", "removal")
GRACE = timedelta(seconds=0.5)
"""The statement that takes a delivery sees its event as it was when the statement began."""


def check(evidence: Evidence) -> Iterator[Violation]:
    held = evidence.held
    cancelled = _cancelled(evidence)
    of = {delivery.message: delivery for delivery in held.deliveries}
    for attempt in held.attempts:
        delivery = of.get(attempt.delivery_id)
        change = held.changes.get(delivery.change_id or 0) if delivery else None
        if change is None or change.kind in SAID_ANYWAY:
            continue
        for cancellation, known in cancelled[change.event_id]:
            over = _restored(evidence, cancellation)
            if (
                change.id < cancellation.id
                and known + GRACE < attempt.started_at
                and (not over or attempt.started_at < over)
            ):
                yield Violation(
                    STALE, f"{change.kind} {change.id}: try at {attempt.started_at}, {cancellation.id} known at {known}"
                )


def _cancelled(evidence: Evidence) -> dict[UUID, list[tuple[Change, datetime]]]:
    """Cancellations, and when their clients were told that they are done."""
    revisions = {(change.event_id, change.revision): change for change in evidence.held.changes.values()}
    found: dict[UUID, list[tuple[Change, datetime]]] = defaultdict(list)
    for write in evidence.writes:
        for place, (kind, _) in enumerate(write.changes):
            if kind == "cancellation" and write.event and write.revision and write.at:
                change = revisions.get((write.event, write.revision - len(write.changes) + 1 + place))
                if change is not None:
                    found[write.event].append((change, datetime.fromtimestamp(write.at, UTC)))
    return found


def _restored(evidence: Evidence, cancellation: Change) -> datetime | None:
    """When it took place again after all, if it did."""
    later = (
        change.at
        for change in evidence.held.changes_of[cancellation.event_id]
        if change.id > cancellation.id and change.kind == "restoration"
    )
    return min(later, default=None)
