"""What a rule makes of each of its years, months, weeks or days.

A rule is followed period by period, and each is computed by itself: so it can be begun anywhere without going there
from the start, and stopped where nothing is found. python-dateutil's rrule can do neither: see
docs/decisions/0022-occurrences-are-computed-by-period.md.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, time
from itertools import count, product

from planner_common.recurrence.rules import Frequency, Rule
from planner_common.recurrence.times import LAST

MONTHS = 12
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def length(year: int, month: int) -> int:
    """Of a month, from 1, in days."""
    return DAYS[month - 1] + (month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))  # noqa: PLR2004


def first_of(year: int, month: int) -> int:
    return datetime(year, month, 1).toordinal()  # noqa: DTZ001  # wall time


class Periods:
    """The periods of a rule for an event that starts at `start` (wall time): the first, numbered 0, has the start."""

    def __init__(self, rule: Rule, start: datetime) -> None:
        self.rule, self.start = rule, start
        self._day = start.toordinal()
        self._week = self._day - (start.weekday() - rule.wkst) % 7
        self._times = sorted(
            time(*parts)
            for parts in product(
                rule.byhour or (start.hour,), rule.byminute or (start.minute,), rule.bysecond or (start.second,)
            )
        )
        self._months, self._month_days, self._places = set(rule.bymonth), rule.bymonthday, rule.byday
        self._derive()
        self._weekdays = {day for day, place in self._places if place == 0}
        self._numbered = {(day, place) for day, place in self._places if place}

    def _derive(self) -> None:
        """What the rule does not say, the start does (§3.3.10)."""
        rule, start = self.rule, self.start
        chosen = rule.byday or rule.bymonthday or rule.byyearday
        match rule.freq:
            case Frequency.YEARLY if rule.byweekno and not chosen:
                self._places = ((start.weekday(), 0),)
            case Frequency.YEARLY if not (chosen or rule.byweekno):
                self._months = self._months or {start.month}
                self._month_days = (start.day,)
            case Frequency.MONTHLY if not chosen:
                self._month_days = (start.day,)
            case Frequency.WEEKLY if not chosen:
                self._places = ((start.weekday(), 0),)

    def index(self, wall: datetime) -> int:
        """The number of the last period that begins at or before that time, or 0."""
        match self.rule.freq:
            case Frequency.YEARLY:
                passed = wall.year - self.start.year
            case Frequency.MONTHLY:
                passed = (wall.year - self.start.year) * MONTHS + wall.month - self.start.month
            case Frequency.WEEKLY:
                passed = (wall.toordinal() - self._week) // 7
            case Frequency.DAILY:
                passed = wall.toordinal() - self._day
        return max(0, passed // self.rule.interval)

    def begin(self, index: int) -> int:
        """The first day of a period, as an ordinal."""
        passed = index * self.rule.interval
        match self.rule.freq:
            case Frequency.YEARLY:
                return first_of(min(self.start.year + passed, LAST.year), 1)
            case Frequency.MONTHLY:
                years, month = divmod(self.start.month - 1 + passed, MONTHS)
                return first_of(min(self.start.year + years, LAST.year), month + 1)
            case Frequency.WEEKLY:
                return self._week + 7 * passed
            case Frequency.DAILY:
                return self._day + passed

    def walls(self, after: datetime, before: datetime) -> Iterator[datetime]:
        """What the rule itself makes of [after, before), in order: without COUNT, UNTIL and the start's own right.

        `after` is not before the start.
        """
        end = min(before, LAST)
        for index in count(self.index(after)):
            begin = self.begin(index)
            if begin > end.toordinal():
                return
            for wall in self.at(begin):
                if wall >= end:
                    return
                if wall >= after:
                    yield wall

    def at(self, begin: int) -> list[datetime]:
        """All that the rule makes of the period that begins on that day, also what is before the start."""
        found = [datetime.combine(datetime.fromordinal(day), at) for day in self._days(begin) for at in self._times]
        places = self.rule.bysetpos
        if not places:
            return found
        number = len(found)
        chosen = {place - 1 if place > 0 else number + place for place in places if abs(place) <= number}
        return [found[index] for index in sorted(chosen)]

    def _days(self, begin: int) -> Iterator[int]:
        match self.rule.freq:
            case Frequency.DAILY:
                yield from (day for day in (begin,) if self._in_week_or_day(day))
            case Frequency.WEEKLY:
                yield from (day for day in range(begin, begin + 7) if self._in_week_or_day(day))
            case Frequency.MONTHLY:
                year, month = _year_and_month(begin)
                if not self._months or month in self._months:
                    yield from self._in_month(begin, year, month, begin, begin + length(year, month))
            case Frequency.YEARLY:
                year, _ = _year_and_month(begin)
                end = first_of(year + 1, 1)
                for month in sorted(self._months) or range(1, MONTHS + 1):
                    first = first_of(year, month)
                    span = (first, first + length(year, month)) if self._months else (begin, end)
                    yield from self._in_month(first, year, month, *span)

    def _in_week_or_day(self, day: int) -> bool:
        if self._weekdays and (day - 1) % 7 not in self._weekdays:
            return False
        if not (self._months or self._month_days):
            return True
        date = datetime.fromordinal(day)
        number = length(date.year, date.month)
        return (not self._months or date.month in self._months) and (
            not self._month_days or not {date.day, date.day - number - 1}.isdisjoint(self._month_days)
        )

    def _in_month(self, first: int, year: int, month: int, begin: int, end: int) -> Iterable[int]:
        """The days of a month that begins on `first`. Numbered weekdays (2MO) are counted from `begin` to `end`."""
        number = length(year, month)
        days: Iterable[int] = range(first, first + number)
        if self._month_days:
            days = sorted(
                {first - 1 + (day if day > 0 else number + 1 + day) for day in self._month_days}.intersection(days)
            )
        weekdays, numbered = self._weekdays, self._numbered
        if numbered:
            days = (
                day
                for day in days
                if (weekday := (day - 1) % 7) in weekdays
                or (weekday, (day - begin) // 7 + 1) in numbered
                or (weekday, (day - end) // 7) in numbered
            )
        elif weekdays:
            days = (day for day in days if (day - 1) % 7 in weekdays)
        if self.rule.byyearday or self.rule.byweekno:
            days = (day for day in days if self._in_year(day, year))
        return days

    def _in_year(self, day: int, year: int) -> bool:
        first, end = first_of(year, 1), first_of(year + 1, 1)
        if self.rule.byyearday and not {day - first + 1, day - end}.intersection(self.rule.byyearday):
            return False
        return not self.rule.byweekno or self._in_weeks(day)

    def _in_weeks(self, day: int) -> bool:
        """Whether a day's week is one of BYWEEKNO: a week belongs to the year in which its fourth day lies."""
        begin = day - (day - 1 - self.rule.wkst) % 7
        fourth = datetime.fromordinal(begin + 3)
        ordinal = begin + 3 - first_of(fourth.year, 1)
        rest = first_of(fourth.year + 1, 1) - (begin + 3) - 1
        return not {ordinal // 7 + 1, -(rest // 7) - 1}.isdisjoint(self.rule.byweekno)


def _year_and_month(day: int) -> tuple[int, int]:
    date = datetime.fromordinal(day)
    return date.year, date.month
