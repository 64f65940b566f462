"""The rows of a story as moments in their order, with what has not happened yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from planner_common.deliveries import Lane, State
from planner_common.explanations import reason_of
from planner_common.logging import without_addresses
from planner_common.story.finding import Subject
from planner_common.story.open import Open, still_open
from planner_common.story.reading import FEW, Record, read


@dataclass(frozen=True, slots=True)
class Moment:
    at: datetime
    what: str
    """change, held, decided, fanned_out, notification, delivery, attempt, finished, read."""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    subject: Subject
    moments: list[Moment]
    open: list[Open]
    """What has not happened, and what it waits for."""
    untold: int
    """Notifications that are counted, but not told one by one."""

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.subject.what,
            "id": self.subject.id,
            "began_at": self.moments[0].at if self.moments else None,
            "moments": [
                {"at": moment.at, "ms": self.milliseconds(moment), "what": moment.what, **moment.facts}
                for moment in self.moments
            ],
            "open": [{"what": each.what, **each.facts, "is": each.text} for each in self.open],
            "untold": self.untold,
        }

    def milliseconds(self, moment: Moment) -> float:
        """From the first moment to this one."""
        return round((moment.at - self.moments[0].at).total_seconds() * 1000, 1)


def tell(connection: Connection, subject: Subject, most: int | None = FEW) -> Story:
    """The story. `most`: how many people of each change are told of one by one; None: all."""
    record = read(connection, subject, most)
    now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    # What happened in one transaction has one time: then in the order of cause and effect, in which it is yielded.
    moments = sorted(_moments(record), key=lambda moment: moment.at)
    untold = sum(row["notifications"] for row in record.counts) - len(record.notifications)
    return Story(subject, moments, list(still_open(record, now)), untold)


def _moments(record: Record) -> Iterator[Moment]:
    for change in record.changes:
        yield from _of_change(change, record)
    for told in record.notifications:
        facts = {"notification_id": told["id"], "change_id": told["change_id"]}
        yield Moment(told["created_at"], "notification", {**facts, "person": told["person_id"]})
    for delivery in record.deliveries:
        yield Moment(delivery["created_at"], "delivery", _delivery(delivery))
    types = {delivery["id"]: delivery["type"] for delivery in record.deliveries}
    for attempt in record.attempts:
        facts = {name: attempt[name] for name in ("delivery_id", "number", "outcome", "status", "milliseconds")}
        detail = attempt["detail"] and without_addresses(attempt["detail"])
        yield Moment(
            attempt["started_at"], "attempt", facts | {"type": types[attempt["delivery_id"]], "detail": detail}
        )
    for delivery in record.deliveries:
        if delivery["finished_at"] is not None:
            yield Moment(delivery["finished_at"], "finished", _fate(delivery))
    for told in record.notifications:
        if told["read_at"] is not None:
            yield Moment(told["read_at"], "read", {"notification_id": told["id"], "person": told["person_id"]})


def _of_change(change: RowMapping, record: Record) -> Iterator[Moment]:
    mine = {"change_id": change["id"]}
    names = ("event_id", "revision", "kind", "actor", "fields", "request_id", "audience_size")
    # What is rejected was to be told.
    facts = {name: change[name] for name in names} | {"told": change["notify"] or change["decision"] is not None}
    facts["request_id"] = facts["request_id"] and without_addresses(facts["request_id"])  # the caller's own
    traceparent = change["traceparent"]
    yield Moment(
        change["at"], "change", mine | facts | {"trace_id": traceparent.split("-")[1] if traceparent else None}
    )
    if change["held_at"] is not None:
        yield Moment(change["held_at"], "held", mine)
    if change["decided_at"] is not None:
        by = change["decided_by"]
        yield Moment(
            change["decided_at"], "decided", mine | {"decision": change["decision"], "by": by if by.int else None}
        )
    if change["fanned_out_at"] is not None and change["notify"]:
        counts = next((row for row in record.counts if row["change_id"] == change["id"]), None)
        deliveries: dict[str, dict[str, int]] = {}
        for row in record.delivery_counts:
            if row["change_id"] == change["id"]:
                states = deliveries.setdefault(row["type"], {})
                states[row["state"]] = states.get(row["state"], 0) + row["number"]
        numbers = {"notifications": counts["notifications"] if counts else 0, "read": counts["read"] if counts else 0}
        yield Moment(
            change["fanned_out_at"],
            "fanned_out",
            mine | numbers | {"claims": change["claims"], "deliveries": deliveries},
        )


def _delivery(delivery: RowMapping) -> dict[str, Any]:
    names = ("change_id", "channel_id", "type", "purpose", "tries", "outcome_unknown")
    facts = {"delivery_id": delivery["id"]} | {name: delivery[name] for name in names}
    digest = delivery["message_id"] if delivery["message_id"] not in {None, delivery["id"]} else None
    return facts | {"person": delivery["person_id"], "lane": Lane(delivery["lane"]).name.lower(), "in_digest": digest}


def _fate(delivery: RowMapping) -> dict[str, Any]:
    state = State(delivery["state"])
    facts = {"delivery_id": delivery["id"], "type": delivery["type"], "state": state}
    return facts | {"reason": reason_of(state, delivery["reason"]), "superseded_by": delivery["superseded_by"]}
