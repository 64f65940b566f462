"""What was not sent has a reason, and the reason is true: nobody was left without news that still mattered."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from tests.faults.checks import Violation
from tests.faults.evidence import Change, Delivery, Evidence, Held

UNTRUE = "not sent, for a reason that is not true"
GIVEN_UP = "given up although it could be sent"


class Reasons:
    """Each reason by its name in `deliveries.reason`: whether it is true of a delivery."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._told = {(one.change_id, one.person_id) for one in held.notifications}
        self._mutes = {(mute.person_id, mute.event_id) for mute in held.mutes}
        self._routed = {route.person_id for route in held.routes}
        self._shown: dict[tuple[UUID, UUID], list[tuple[int, int]]] = defaultdict(list)
        for one in held.deliveries:
            if one.change_id in held.changes and one.told_revision is not None:
                event = held.changes[one.change_id].event_id
                self._shown[event, one.person_id].append((one.change_id, one.told_revision))

    def true(self, delivery: Delivery) -> bool:
        change = self._held.changes.get(delivery.change_id or 0)
        check: Callable[[Delivery, Change], bool] | None = getattr(self, f"_{delivery.reason}", None)
        return change is not None and check is not None and check(delivery, change)

    def _later(self, change: Change, *kinds: str) -> list[Change]:
        return [one for one in self._held.changes_of[change.event_id] if one.id > change.id and one.kind in kinds]

    def _cancelled(self, _delivery: Delivery, change: Change) -> bool:
        return bool(self._later(change, "cancellation"))

    def _deleted(self, _delivery: Delivery, change: Change) -> bool:
        return bool(self._later(change, "deletion"))

    def _restored(self, _delivery: Delivery, change: Change) -> bool:
        return change.kind == "cancellation" and bool(self._later(change, "restoration"))

    def _changed_again(self, delivery: Delivery, change: Change) -> bool:
        """All that it says was changed again, by changes of which the same person is told."""
        later = self._later(change, "update", "reschedule")
        told = [one for one in later if (one.id, delivery.person_id) in self._told]
        return set(change.fields) <= {field for one in told for field in one.fields}

    def _already_told(self, delivery: Delivery, change: Change) -> bool:
        shown = self._shown[change.event_id, delivery.person_id]
        return any(number < change.id and revision >= change.revision for number, revision in shown)

    def _removed(self, delivery: Delivery, change: Change) -> bool:
        return any(
            one.person_id == delivery.person_id and one.until_change is not None and one.until_change > change.id
            for one in self._held.participants_of[change.event_id]
        )

    def _back(self, delivery: Delivery, change: Change) -> bool:
        return change.kind == "removal" and any(
            one.person_id == delivery.person_id and one.since_change > change.id
            for one in self._held.participants_of[change.event_id]
        )

    def _answered(self, delivery: Delivery, change: Change) -> bool:
        return any(one.actor == delivery.person_id for one in self._later(change, "response"))

    def _answered_again(self, _delivery: Delivery, change: Change) -> bool:
        """Or whoever answered has left."""
        left = any(
            one.person_id == change.actor and one.until_change is not None and one.until_change > change.id
            for one in self._held.participants_of[change.event_id]
        )
        return left or any(one.actor == change.actor for one in self._later(change, "response"))

    def _over(self, delivery: Delivery, change: Change) -> bool:
        return delivery.finished_at is not None and self._held.events[change.event_id].ends_at < delivery.finished_at

    def _muted(self, delivery: Delivery, change: Change) -> bool:
        return (delivery.person_id, change.event_id) in self._mutes

    def _not_wanted(self, delivery: Delivery, _change: Change) -> bool:
        return delivery.person_id in self._routed


def check(evidence: Evidence, refused: Iterable[UUID]) -> Iterator[Violation]:
    """`refused`: people whose mail the sink refuses for good; nobody else's is to be given up."""
    reasons = Reasons(evidence.held)
    refused = set(refused)
    for delivery in evidence.held.deliveries:
        where = f"delivery {delivery.id} of change {delivery.change_id}: {delivery.state}, {delivery.reason}"
        if delivery.state == "superseded" and not reasons.true(delivery):
            yield Violation(UNTRUE, where)
        if delivery.state == "dead" and not (delivery.reason == "refused" and delivery.person_id in refused):
            yield Violation(GIVEN_UP, where)
