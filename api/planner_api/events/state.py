"""The state of an event, and the difference between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from planner_common.moments import Moment
from planner_common.recurrence import Recurrence, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What people can change in an event."""

    title: str
    start: Moment
    end: Moment
    description: str | None = None
    location: str | None = None
    url: str | None = None
    status: str = "confirmed"
    reminders: tuple[int, ...] = ()
    capacity: int | None = None
    recurrence: tuple[str, ...] = ()
    """RFC 5545's lines, as `Recurrence.lines` has them."""

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        """From a row of `events`."""
        return cls(
            title=row["title"],
            start=Moment(row["start_wall"], row["start_zone"]),
            end=Moment(row["end_wall"], row["end_zone"]),
            description=row["description"],
            location=row["location"],
            url=row["url"],
            status=row["status"],
            reminders=tuple(row["reminders"]),
            capacity=row["capacity"],
            recurrence=tuple(row["recurrence"]),
        )

    @property
    def all_day(self) -> bool:
        return self.start.zone is None

    def series(self) -> Series:
        """What its occurrences are computed from. Raises RecurrenceError."""
        return Series(self.start, self.end, Recurrence.read(self.recurrence, self.start, self.end))

    @property
    def over_at(self) -> datetime:
        """When nothing of it is still to come."""
        return self.series().over_at if self.recurrence else self.end.instant

    def fault(self) -> str | None:
        """What is wrong with the end, if anything is."""
        if (self.start.zone is None) is not (self.end.zone is None):
            return "start and end must both be dates, or both have a time"
        if self.end.instant <= self.start.instant:
            return "the end must be after the start"
        return None

    def columns(self) -> dict[str, Any]:
        """As JSON for the statements in `writing`, by the names of the columns."""
        return {
            "title": self.title,
            "description": self.description,
            "location": self.location,
            "url": self.url,
            "status": self.status,
            "all_day": self.all_day,
            "start_wall": self.start.wall.isoformat(),
            "start_zone": self.start.zone,
            "end_wall": self.end.wall.isoformat(),
            "end_zone": self.end.zone,
            "starts_at": self.start.instant.isoformat(),
            "ends_at": self.end.instant.isoformat(),
            "reminders": list(self.reminders),
            "capacity": self.capacity,
            "recurrence": list(self.recurrence),
            "over_at": self.over_at.isoformat() if self.recurrence else None,
        }


def difference(old: State, new: State) -> dict[str, list[Any]]:
    """`{field: [old, new]}` for what differs, with values as the API shows them."""
    pairs = {field.name: (getattr(old, field.name), getattr(new, field.name)) for field in fields(State)}
    return {name: [_shown(before), _shown(after)] for name, (before, after) in pairs.items() if before != after}


def _shown(value: Any) -> Any:
    match value:
        case Moment():
            return value.shown()
        case tuple():
            return list(value)
    return value
