"""What has not happened yet in a story: what it waits for, since when, and what to do where somebody must."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping

from planner_common.deliveries import State
from planner_common.explanations import WAITING, reason_of
from planner_common.held import Decision
from planner_common.story.reading import Record


@dataclass(frozen=True, slots=True)
class Open:
    what: str
    """change, delivery or deliveries: those that are not told one by one."""
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


def still_open(record: Record, now: datetime) -> Iterator[Open]:
    for change in record.changes:
        if missing := _change(change, now):
            yield Open("change", f"change {change['id']}: {missing}", {"change_id": change["id"]})
    for delivery in record.deliveries:
        if missing := _delivery(delivery, now):
            yield Open("delivery", f"delivery {delivery['id']}: {missing}", {"delivery_id": delivery["id"]})
    yield from _others(record)


def _change(change: RowMapping, now: datetime) -> str | None:
    if not change["notify"]:
        return "rejected, so nobody is told" if change["decision"] == Decision.REJECTED else None
    if change["fanned_out_at"] is not None:
        return "told so long ago that its deliveries may be pruned" if change["pruned"] else None
    if change["held_at"] is not None:
        return (
            f"held for {seconds(now, change['held_at'])}, since it reaches {change['audience_size']} people:"
            f" planner held approve {change['id']}, or reject"
        )
    since = change["decided_at"] or change["at"]
    missing = f"not fanned out for {seconds(now, since)}, handed out {times(change['claims'])}"
    if change["claims"] == 0:
        return f"{missing}: the dispatcher has not come to it"
    if change["lease_until"] is not None and change["lease_until"] > now:
        return f"{missing}: a worker has {seconds(change['lease_until'], now)} left to do it"
    return f"{missing}: no worker did it while the lease ran"


def _delivery(delivery: RowMapping, now: datetime) -> str | None:
    state = State(delivery["state"])
    if state is State.DEAD:
        return f"dead; another try: planner dead replay {delivery['id']}"
    if state not in WAITING:
        return None
    if delivery["sending"]:
        return "being sent" if delivery["lease_until"] > now else "was being sent when its worker fell silent"
    due, reason = delivery["due_at"], reason_of(state, delivery["reason"])
    if due > now:
        return f"waits {seconds(due, now)} more, until {stamp(due)}" + (f" ({reason})" if reason else "")
    if delivery["lease_until"] is not None and delivery["lease_until"] > now:
        return f"handed out, for the {nth(delivery['claims'])} time"
    return f"due for {seconds(now, due)}, handed out {times(delivery['claims'])}"


def _others(record: Record) -> Iterator[Open]:
    """Of the deliveries that are not told one by one: how many are where."""
    shown: dict[tuple[Any, ...], int] = {}
    key = ("change_id", "type", "state", "reason")
    for delivery in record.deliveries:
        of = tuple(delivery[name] for name in key)
        shown[of] = shown.get(of, 0) + 1
    for row in record.delivery_counts:
        state = State(row["state"])
        number = row["number"] - shown.get(tuple(row[name] for name in key), 0)
        if number <= 0 or state not in {*WAITING, State.DEAD}:
            continue
        reason = reason_of(state, row["reason"])
        text = f"{number} more by {row['type']}: {state}" + (f" ({reason})" if reason else "")
        if state in WAITING:
            text += f", due from {stamp(row['due_at'])} on"
        yield Open(
            "deliveries", f"change {row['change_id']}: {text}", {**{name: row[name] for name in key}, "number": number}
        )


def seconds(later: datetime, earlier: datetime) -> str:
    return f"{max((later - earlier).total_seconds(), 0):,.1f} s"


def stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def times(number: int) -> str:
    return {0: "never", 1: "once"}.get(number, f"{number} times")


def nth(number: int) -> str:
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
