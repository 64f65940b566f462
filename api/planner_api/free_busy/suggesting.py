"""When people can meet: the first slots in which nobody who is required is busy.

A sweep: what keeps the required from coming is merged, and what that leaves free is gone through in order until there
are enough slots. That takes O(n log n) for n intervals, however many slots there would be.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import chain, islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from planner_common.moments import Moment

from planner_api.free_busy.asking import ONE_DAY, Calendar
from planner_api.free_busy.intervals import Busy, Gap, gaps, merged


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Wall times in each person's own zone, on these days of the week (Monday is 0). What does not end after it starts
    ends on the next day."""

    start: time
    end: time
    days: frozenset[int]

    def shifts(self, time_zone: str, begin: datetime, end: datetime) -> Iterator[Busy]:
        """Those that overlap what lies between two instants, in UTC."""
        day = begin.astimezone(ZoneInfo(time_zone)).date() - ONE_DAY
        until = timedelta() if self.start < self.end else ONE_DAY
        while (start := Moment(datetime.combine(day, self.start), time_zone).instant) < end:
            if day.weekday() in self.days:
                yield Busy(start, Moment(datetime.combine(day + until, self.end), time_zone).instant)
            day += ONE_DAY


class Slot(NamedTuple):
    start: datetime
    end: datetime
    optional_free: int
    """How many of the optional can come."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: slots that start at `begin` or whole steps after it, and end by `end`."""

    begin: datetime
    end: datetime
    duration: timedelta
    step: timedelta
    hours: WorkingHours | None = None
    not_before: datetime | None = None

    def closed(self, time_zone: str) -> list[Gap]:
        """When nobody works in a zone."""
        if self.hours is None:
            return []
        shifts = self.hours.shifts(time_zone, self.begin, self.end)
        return list(gaps(merged(shifts, self.begin, self.end), self.begin, self.end))

    def free(self, people: Sequence[Calendar], closed: Mapping[str, list[Gap]]) -> list[Gap]:
        """When all of them can come. `closed`: by zone."""
        taken: Iterable[Gap] = ((one.start, one.end) for person in people for one in person.busy)
        shut = (gap for zone in {person.time_zone for person in people} for gap in closed[zone])
        busy = merged((Busy(*one) for one in chain(taken, shut)), self.begin, self.end)
        return list(gaps(busy, self.begin, self.end))

    def starts(self, free: Iterable[Gap]) -> Iterator[datetime]:
        """Where a slot can start."""
        for start, end in free:
            first = max(start, self.not_before or start)
            at = self.begin - (self.begin - first) // self.step * self.step  # rounded up
            while at + self.duration <= end:
                yield at
                at += self.step


def suggest(required: Sequence[Calendar], optional: Sequence[Calendar], search: Search, limit: int) -> list[Slot]:
    """The first slots in which all who are required can come."""
    closed = {zone: search.closed(zone) for zone in {person.time_zone for person in chain(required, optional)}}
    welcome = [search.free([person], closed) for person in optional]
    found = []
    for start in islice(search.starts(search.free(required, closed)), limit):
        end = start + search.duration
        found.append(Slot(start, end, sum(covers(free, start, end) for free in welcome)))
    return found


def covers(free: Sequence[Gap], start: datetime, end: datetime) -> bool:
    """Whether one of them holds all of a slot."""
    before = bisect_right(free, start, key=lambda gap: gap[0])
    return before > 0 and free[before - 1][1] >= end
