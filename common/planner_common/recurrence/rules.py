"""A recurrence rule, RFC 5545 §3.3.10: read, checked, written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from planner_common.moments import Moment
from planner_common.recurrence.faults import RecurrenceError
from planner_common.recurrence.times import read, written

MAX_COUNT = 2_000
MAX_INTERVAL = 1_000
MAX_TIMES = 24
"""Times of the day that BYHOUR, BYMINUTE and BYSECOND may make together."""
MAX_LENGTH = 1_000
MAX_PLACE = 53
"""Of a weekday in a year."""


class Frequency(StrEnum):
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
TOO_OFTEN = {"SECONDLY", "MINUTELY", "HOURLY"}
NUMBERS = {
    "BYSECOND": (0, 59, False),
    "BYMINUTE": (0, 59, False),
    "BYHOUR": (0, 23, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYMONTH": (1, 12, False),
    "BYSETPOS": (1, 366, True),
}
"""The parts that are lists of numbers, in the order in which they are written: from, to, whether from the end too."""
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`until` is the last instant at which an occurrence may start. `byday`: weekday from 0, and which of the period's.

    A date in UNTIL is its midnight in UTC, as `Moment` has it.
    """

    freq: Frequency
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    bysecond: tuple[int, ...] = ()
    byminute: tuple[int, ...] = ()
    byhour: tuple[int, ...] = ()
    byday: tuple[tuple[int, int], ...] = ()
    bymonthday: tuple[int, ...] = ()
    byyearday: tuple[int, ...] = ()
    byweekno: tuple[int, ...] = ()
    bymonth: tuple[int, ...] = ()
    bysetpos: tuple[int, ...] = ()
    wkst: int = 0

    @classmethod
    def read(cls, value: str, start: Moment) -> "Rule":
        """The rule of an event that starts then. Raises RecurrenceError."""
        if len(value) > MAX_LENGTH:
            raise RecurrenceError(f"a rule has at most {MAX_LENGTH} characters")
        parts: dict[str, str] = {}
        for part in value.replace(" ", "").upper().strip(";").split(";"):  # Exchange writes BYDAY=MO, TU
            name, equals, text = part.partition("=")
            if not (equals and text):
                raise RecurrenceError(f"{part or 'a part'} must be written like FREQ=WEEKLY")
            if name in parts:
                raise RecurrenceError(f"{name} is there twice; join the two")
            parts[name] = text
        unknown = next((name for name in parts if name not in {*READERS, "UNTIL"}), None)
        if unknown:
            raise RecurrenceError(f"{unknown} is no part of a rule; parts are UNTIL, {', '.join(READERS)}")
        if "FREQ" not in parts:
            raise RecurrenceError(f"FREQ is missing: {', '.join(Frequency)}")
        given: dict[str, Any] = {name.lower(): READERS[name](text) for name, text in parts.items() if name in READERS}
        if "UNTIL" in parts:
            given["until"] = _until(parts["UNTIL"], start)
        rule = cls(**given)
        fault = rule._fault(start)
        if fault:
            raise RecurrenceError(fault)
        return rule

    def _fault(self, start: Moment) -> str | None:
        """The first thing that RFC 5545 forbids or that makes no sense, if there is any."""
        yearly, by_place = self.freq is Frequency.YEARLY, any(place for _, place in self.byday)
        if start.zone is None and (self.byhour or self.byminute or self.bysecond):
            return "BYHOUR, BYMINUTE and BYSECOND need an event with times; this one is of whole days"
        faults = {
            "COUNT and UNTIL exclude each other: leave out one": self.count is not None and self.until is not None,
            "UNTIL must not be before the start": self.until is not None and self.until < start.instant,
            "BYWEEKNO needs FREQ=YEARLY": self.byweekno and not yearly,
            "BYYEARDAY needs FREQ=YEARLY": self.byyearday and not yearly,
            "BYMONTHDAY does not go with FREQ=WEEKLY": self.bymonthday and self.freq is Frequency.WEEKLY,
            "BYDAY with a number (2MO) needs FREQ=MONTHLY or YEARLY": by_place
            and self.freq not in {Frequency.MONTHLY, Frequency.YEARLY},
            "BYDAY with a number (2MO) does not go with BYWEEKNO": by_place and self.byweekno,
            "BYSETPOS chooses among days that another BY part names: add one": self.bysetpos
            and not any(getattr(self, name.lower()) for name in (*NUMBERS, "BYDAY") if name != "BYSETPOS"),
            "BYMONTHDAY names days that no month of BYMONTH has": self.bymonthday
            and self.bymonth
            and not any(abs(day) <= LONGEST[month - 1] for day in self.bymonthday for month in self.bymonth),
            f"BYHOUR, BYMINUTE and BYSECOND make more than {MAX_TIMES} times a day": self.times_a_day > MAX_TIMES,
        }
        return next((fault for fault, there in faults.items() if there), None)

    @property
    def times_a_day(self) -> int:
        return max(1, len(self.byhour)) * max(1, len(self.byminute)) * max(1, len(self.bysecond))

    def written(self, zone: str | None) -> str:
        """In one way, whatever way it was read: for an event in that zone."""
        parts = [f"FREQ={self.freq}"]
        if self.until is not None:
            parts.append(f"UNTIL={written(self.until, None if zone is None else 'UTC')}")
        if self.count is not None:
            parts.append(f"COUNT={self.count}")
        if self.interval != 1:
            parts.append(f"INTERVAL={self.interval}")
        lists = {name: [str(number) for number in getattr(self, name.lower())] for name in NUMBERS}
        lists["BYDAY"] = [f"{place or ''}{WEEKDAYS[day]}" for day, place in self.byday]
        parts += [f"{name}={','.join(values)}" for name, values in lists.items() if values]
        if self.wkst:
            parts.append(f"WKST={WEEKDAYS[self.wkst]}")
        return ";".join(parts)


def _until(text: str, start: Moment) -> datetime:
    """RFC 5545 wants UTC for an event with times, a date for one of days. Programs write each for the other.

    A date is meant with all of its day, and a time without Z in the event's own zone.
    """
    until = read(text, "UNTIL")
    if start.zone is None:
        return until.wall.replace(hour=0, minute=0, second=0, tzinfo=UTC)
    if until.is_date:
        return Moment(until.wall.replace(hour=23, minute=59, second=59), start.zone).instant
    return Moment(until.wall, "UTC" if until.is_utc else start.zone).instant


def _frequency(text: str) -> Frequency:
    if text in TOO_OFTEN:
        raise RecurrenceError(f"FREQ={text} is too often: use FREQ=DAILY, with BYHOUR and BYMINUTE for its times")
    if text not in set(Frequency):
        raise RecurrenceError(f"FREQ={text} is unknown: use {', '.join(Frequency)}")
    return Frequency(text)


def _number(name: str, most: int) -> Callable[[str], int]:
    def reader(text: str) -> int:
        if not re.fullmatch("[0-9]{1,18}", text) or not 1 <= int(text) <= most:
            advice = " (leave it out for a series without an end, or use UNTIL)" if name == "COUNT" else ""
            raise RecurrenceError(f"{name} must be a number from 1 to {most}{advice}")
        return int(text)

    return reader


def _numbers(name: str, first: int, last: int, signed: bool) -> Callable[[str], tuple[int, ...]]:
    def reader(text: str) -> tuple[int, ...]:
        numbers = set()
        for item in text.strip(",").split(","):
            number = int(item) if re.fullmatch("[+-]?[0-9]{1,3}", item) else None
            if number is None or not first <= (abs(number) if signed else number) <= last:
                from_end = f" or -{last} to -{first}" if signed else ""
                raise RecurrenceError(f"{name} has numbers from {first} to {last}{from_end}, not {item[:20]}")
            numbers.add(number)
        return tuple(sorted(numbers))

    return reader


def _days(text: str) -> tuple[tuple[int, int], ...]:
    days = set()
    for item in text.strip(",").split(","):
        match = re.fullmatch(f"([+-]?[0-9]{{1,2}})?({'|'.join(WEEKDAYS)})", item)
        if not match or (match[1] and not 1 <= abs(int(match[1])) <= MAX_PLACE):
            raise RecurrenceError(f"BYDAY has days like MO, 2TU or -1FR (numbers up to {MAX_PLACE}), not {item[:20]}")
        days.add((WEEKDAYS.index(match[2]), int(match[1] or 0)))
    return tuple(sorted(days))


def _weekday(text: str) -> int:
    if text not in WEEKDAYS:
        raise RecurrenceError(f"WKST is one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(text)


READERS: dict[str, Callable[[str], Any]] = {
    "FREQ": _frequency,
    "COUNT": _number("COUNT", MAX_COUNT),
    "INTERVAL": _number("INTERVAL", MAX_INTERVAL),
    **{name: _numbers(name, *bounds) for name, bounds in NUMBERS.items()},
    "BYDAY": _days,
    "WKST": _weekday,
}
