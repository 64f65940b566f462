"""The occurrences of an event: when each starts and ends, and which one it is."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush, merge

from planner_common.moments import FIRST_YEAR, Moment
from planner_common.recurrence.faults import RecurrenceError
from planner_common.recurrence.recurrences import DAY, Recurrence, local
from planner_common.recurrence.times import LAST, written

FIRST = datetime(FIRST_YEAR - 1, 1, 3, tzinfo=UTC)
"""Before anything starts, and a time in each zone."""
MAX_SPAN = timedelta(days=5 * 366)
"""The longest range that is looked at at once."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """`original` is where the series has it; `start` and `end` are where it takes place. Instants are in UTC."""

    original: Moment
    start: Moment
    end: Moment
    starts_at: datetime = field(init=False)
    ends_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts_at", self.start.instant)
        object.__setattr__(self, "ends_at", self.end.instant)

    @property
    def recurrence_id(self) -> str:
        """The value of RECURRENCE-ID (RFC 5545 §3.8.4.4), in the zone of the series' start."""
        return written(self.original.wall, self.original.zone)

    @property
    def place(self) -> tuple[datetime, datetime]:
        """What occurrences are in order of."""
        return self.starts_at, self.original.wall


@dataclass(frozen=True, slots=True)
class Override:
    """An occurrence that takes place at another time than the series has it."""

    start: Moment
    end: Moment


@dataclass(frozen=True, slots=True)
class Series:
    """An event and its recurrence. `overrides`: by original start (wall time); None: does not take place."""

    start: Moment
    end: Moment
    recurrence: Recurrence = field(default_factory=Recurrence)
    overrides: Mapping[datetime, Override | None] = field(default_factory=dict)

    def between(self, begin: datetime, end: datetime) -> Iterator[Occurrence]:
        """What takes place within [begin, end), by start: also what began before and still goes on.

        Occurrences are computed as they are taken. Raises RecurrenceError where the range is longer than MAX_SPAN.
        """
        if end - begin > MAX_SPAN:
            raise RecurrenceError(f"a range of at most {MAX_SPAN.days} days")
        lasting = self.end.instant - self.start.instant + 2 * DAY  # a day each for what zones skip
        since = begin - min(lasting, begin - FIRST)
        walls = self.recurrence.walls(self.start, local(since, self.start.zone), local(end + DAY, self.start.zone))
        own = _in_order(self._at(wall) for wall in walls if wall not in self.overrides)
        moved = sorted((self._moved(wall, by) for wall, by in self.overrides.items() if by), key=_place)
        for occurrence in merge(own, moved, key=_place):
            if occurrence.starts_at >= end:
                return
            if occurrence.ends_at > begin or occurrence.starts_at >= begin:
                yield occurrence

    @property
    def over_at(self) -> datetime:
        """When no occurrence is left, or soon afterwards; where there is no end, in a year that nobody lives to see."""
        last = self.recurrence.last_of_rule(self.start)
        walls = [LAST if last is None else last, *self.recurrence.added[-1:]]
        moved = [by.end.instant for by in self.overrides.values() if by]
        return max([*(self._at(wall).ends_at for wall in walls), *moved])

    def occurrence(self, original: datetime) -> Occurrence | None:
        """The one whose original start is at that wall time, if it takes place."""
        if original in self.overrides:
            override = self.overrides[original]
            return None if override is None else self._moved(original, override)
        wall = next(self.recurrence.walls(self.start, original, original + timedelta(seconds=1)), None)
        return None if wall is None else self._at(wall)

    def _moved(self, wall: datetime, by: Override) -> Occurrence:
        return Occurrence(Moment(wall, self.start.zone), by.start, by.end)

    def _at(self, wall: datetime) -> Occurrence:
        """The end keeps its distance on the clock: who works from 22:00 to 6:00 goes home at 6:00 in each night."""
        start = Moment(wall, self.start.zone)
        end = Moment(self.end.wall + (wall - self.start.wall), self.end.zone)
        if end.instant < start.instant:  # the zone skipped what lay between
            end = Moment.at(start.instant + (self.end.instant - self.start.instant), self.end.zone or "UTC")
        return Occurrence(start, start, end)


def _place(occurrence: Occurrence) -> tuple[datetime, datetime]:
    return occurrence.place


def _in_order(occurrences: Iterable[Occurrence]) -> Iterator[Occurrence]:
    """In order of instants what is in order of wall times. They differ where a zone skips an hour, or even a day."""
    waiting: list[tuple[datetime, datetime, Occurrence]] = []
    for occurrence in occurrences:
        while waiting and waiting[0][1] < occurrence.original.wall - DAY:
            yield heappop(waiting)[2]
        heappush(waiting, (*occurrence.place, occurrence))
    while waiting:
        yield heappop(waiting)[2]
