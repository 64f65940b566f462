"""What an audit can find, and what it found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID


class Invariant(StrEnum):
    """Faults, by the name that the command, its JSON and the metric `planner_audit_violations` give them."""

    NOTIFICATION_MISSING = "notification_missing"
    NOTIFICATION_EXTRA = "notification_extra"
    DELIVERY_MISSING = "delivery_missing"
    DELIVERY_EXTRA = "delivery_extra"
    DELIVERY_WITHOUT_NOTIFICATION = "delivery_without_notification"
    CHANGE_STUCK = "change_stuck"
    """Due for longer than told, and not fanned out; or leased for so long that it was not to be."""
    DELIVERY_STUCK = "delivery_stuck"
    """Due for longer than told, and not finished; or due, or leased, so late that it would never be."""
    SENT_WITHOUT_ACCEPTED_ATTEMPT = "sent_without_accepted_attempt"
    ACCEPTED_BUT_NOT_SENT = "accepted_but_not_sent"
    """The other side took it, which no state shows; and no outcome is known to be unknown."""
    SENT_MORE_THAN_ONCE = "sent_more_than_once"
    """The other side took it twice, and no outcome is known to be unknown."""
    ATTEMPT_OPEN_ON_FINISHED = "attempt_open_on_finished"
    ATTEMPT_AFTER_FINISH = "attempt_after_finish"
    """A try began when the delivery was finished already."""
    STATE_SUM = "state_sum"
    """Deliveries whose state is none of those that there are."""
    OVERBOOKED = "overbooked"
    """Events with more people in them than places."""
    PLACE_UNUSED = "place_unused"
    """Events with a place that is free while somebody waits for one."""


class Information(StrEnum):
    """What is no fault, but should be known."""

    HELD = "held"
    """Changes that the brake holds until an admin decides."""
    UNDECIDED = "undecided"
    """Deliveries that are there, or not, when a route or a mute changed within seconds before the change: the other way
    would have been as right."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """Deliveries that may have been sent more than once, or once although they do not say so."""
    DEAD = "dead"
    QUARANTINED = "quarantined"
    """Of the dead ones, those that may have been sent already: Planner was restored from a backup."""


KINDS: dict[str, Invariant | Information] = {kind.value: kind for kind in (*Invariant, *Information)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row that is named, by whatever tells it apart from others."""

    change: int | None = None
    person: UUID | None = None
    channel: UUID | None = None
    delivery: UUID | None = None
    seconds: float | None = None
    """How long it has waited."""

    def as_json(self) -> dict[str, Any]:
        values = {
            "change": self.change,
            "person": self.person and str(self.person),
            "channel": self.channel and str(self.channel),
            "delivery": self.delivery and str(self.delivery),
            "seconds": self.seconds and round(self.seconds, 3),
        }
        return {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        parts = [f"{name} {value}" for name, value in self.as_json().items() if name != "seconds"]
        if self.seconds is not None:
            parts.append(f"for {timedelta(seconds=round(self.seconds))}")
        return ", ".join(parts)


@dataclass
class Findings:
    """What an audit found."""

    events: int = 0
    changes: int = 0
    notifications: int = 0
    deliveries: int = 0
    states: dict[str, int] = field(default_factory=dict)
    """Deliveries by state."""
    pending: int = 0
    """Changes that are not fanned out yet, but for those that are held: not wrong, unless they are stuck."""
    oldest_pending: timedelta = timedelta(0)
    due: int = 0
    """Deliveries that are due and not finished, up to `backlog.COUNTED`: not wrong, unless they are stuck."""
    violations: dict[Invariant, int] = field(default_factory=lambda: dict.fromkeys(Invariant, 0))
    information: dict[Information, int] = field(default_factory=lambda: dict.fromkeys(Information, 0))
    horizons: dict[str, datetime] = field(default_factory=dict)
    """By table: what belongs to changes that were fanned out before may have been pruned, and was not looked at."""
    named: dict[Invariant | Information, list[Fault]] = field(default_factory=dict)
    """The first rows of each that there are."""

    @property
    def ok(self) -> bool:
        return not any(self.violations.values())

    @property
    def missing_count(self) -> int:
        return self.violations[Invariant.NOTIFICATION_MISSING]

    @property
    def extra_count(self) -> int:
        return self.violations[Invariant.NOTIFICATION_EXTRA]

    def add(self, name: str, number: int, fault: Fault) -> None:
        """There are so many of a kind; this is one of them."""
        kind = KINDS[name]
        if isinstance(kind, Invariant):
            self.violations[kind] = number
        else:
            self.information[kind] = number
        self.named.setdefault(kind, []).append(fault)

    def as_json(self) -> Mapping[str, Any]:
        """With `missing` and `extra` of notifications apart, as they always were."""
        first = {name: [fault.as_json() for fault in faults] for name, faults in self.named.items()}
        return {
            "ok": self.ok,
            "events": self.events,
            "changes": self.changes,
            "notifications": self.notifications,
            "pending": self.pending,
            "oldest_pending_seconds": self.oldest_pending.total_seconds(),
            "missing": self.missing_count,
            "extra": self.extra_count,
            "missing_first": first.get(Invariant.NOTIFICATION_MISSING, []),
            "extra_first": first.get(Invariant.NOTIFICATION_EXTRA, []),
            "deliveries": self.deliveries,
            "states": self.states,
            "due": self.due,
            "violations": self.violations,
            "information": self.information,
            "horizons": {name: at.isoformat() for name, at in self.horizons.items()},
            "first": first,
        }
