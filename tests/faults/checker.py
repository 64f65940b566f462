"""All checks over the evidence of a run, and the figures that go with them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from uuid import UUID

from tests.faults.checks import Violation, deliveries, liveness, notifications, reasons, staleness, writes
from tests.faults.evidence import Evidence


@dataclass
class Verdict:
    violations: list[Violation]
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def by_rule(self) -> Counter[str]:
        return Counter(violation.rule for violation in self.violations)


def check(evidence: Evidence, refused: Iterable[UUID] = ()) -> Verdict:
    """`refused`: people whose mail the sink refuses for good."""
    found = list(
        chain(
            writes.check(evidence),
            notifications.check(evidence),
            deliveries.check(evidence),
            reasons.check(evidence, refused),
            staleness.check(evidence),
            liveness.check(evidence),
        )
    )
    return Verdict(found, figures(evidence, found))


def figures(evidence: Evidence, found: Sequence[Violation]) -> dict[str, float]:
    held = evidence.held
    rules = Counter(violation.rule for violation in found)
    fates = Counter(write.fate for write in evidence.writes)
    states = Counter(delivery.state for delivery in held.deliveries)
    marked = {one.message for one in held.deliveries if one.outcome_unknown}
    twice = {message for message, number in evidence.times.items() if number > 1}
    waited = sorted(lateness(evidence))
    return {
        "writes_acknowledged": fates["acknowledged"],
        "writes_refused": fates["refused"],
        "writes_unknown": fates["unknown"],
        "changes": len(held.changes),
        "notifications_due": notifications.number_due(evidence),
        "notifications_there": len(held.notifications),
        "notifications_missing": rules[notifications.MISSING],
        "notifications_extra": rules[notifications.EXTRA] + rules[notifications.TWICE],
        "deliveries": len(held.deliveries),
        **{f"deliveries_{state}": states[state] for state in sorted(states)},
        "tries": len(held.attempts),
        "outcome_unknown": len(marked),
        "mails": len(evidence.received),
        "mails_more_than_once_marked": len(twice & marked),
        "mails_more_than_once_unmarked": len(twice - marked),
        "told_by_mail_p50": quantile(waited, 0.5),
        "told_by_mail_p99": quantile(waited, 0.99),
        "told_by_mail_max": quantile(waited, 1),
        "violations": len(found),
    }


def lateness(evidence: Evidence) -> list[float]:
    """Seconds from each change to each of its mails, the first time it came."""
    first: dict[UUID, float] = {}
    for mail in evidence.received:
        if mail.id is not None:
            first.setdefault(mail.id, mail.at)
    changes = evidence.held.changes
    return [
        first[one.message] - changes[one.change_id].at.timestamp()
        for one in evidence.held.deliveries
        if one.change_id in changes and one.message in first
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values; 0 where there are none."""
    return round(values[min(len(values) - 1, int(share * len(values)))], 3) if values else 0.0
