"""Our occurrences are those that python-dateutil finds, and wall times mean what a search among all instants finds.

Neither uses anything of ours: dateutil goes from the start through every day, and knows no zones here; the search asks
a zone only what its clocks show at an instant, never when they show a time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as some
from planner_common.moments import Moment
from planner_common.recurrence import Recurrence, RecurrenceError, Series

# Rules of Europe and America; half an hour; clocks that go back for Ramadan; a day that never was; no rules at all.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Asia/Beirut",
]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
DAY = timedelta(days=1)


def numbers(*choices: int) -> some.SearchStrategy[str]:
    return some.lists(some.sampled_from(choices), min_size=1, max_size=4, unique=True).map(
        lambda chosen: ",".join(map(str, chosen))
    )


def days(*places: str) -> some.SearchStrategy[str]:
    """All with a number or none: with both, dateutil wants days that are named twice, and RFC 5545 those named once."""
    return some.lists(
        some.builds(str.__add__, some.sampled_from(places), some.sampled_from(WEEKDAYS)),
        min_size=1,
        max_size=4,
        unique=True,
    ).map(",".join)


MONTHS = numbers(*range(1, 13))
MONTH_DAYS = numbers(1, 2, 13, 28, 29, 30, 31, -1, -2, -29, -31)
PLAIN = days("")
PARTS: dict[str, dict[str, some.SearchStrategy[str]]] = {
    "DAILY": {"BYMONTH": MONTHS, "BYMONTHDAY": MONTH_DAYS, "BYDAY": PLAIN},
    "WEEKLY": {"BYMONTH": MONTHS, "BYDAY": PLAIN},
    "MONTHLY": {"BYMONTH": MONTHS, "BYMONTHDAY": MONTH_DAYS, "BYDAY": PLAIN | days("1", "2", "-1", "-2", "5", "+4")},
    "YEARLY": {
        "BYMONTH": MONTHS,
        "BYMONTHDAY": MONTH_DAYS,
        "BYYEARDAY": numbers(1, 2, 59, 60, 100, 365, 366, -1, -2, -306, -365, -366),
        "BYDAY": PLAIN | days("1", "20", "-1", "-10", "53"),
    },
}
WEEKS = {"BYWEEKNO": numbers(1, 2, 9, 20, 51, 52, 53, -1, -2, -53), "BYDAY": PLAIN}
TIMES = {"BYHOUR": numbers(0, 1, 2, 3, 12, 23), "BYMINUTE": numbers(0, 15, 30), "BYSECOND": numbers(0, 59)}


@some.composite
def rules(draw: some.DrawFn) -> str:
    frequency = draw(some.sampled_from(list(PARTS)))
    parts = PARTS[frequency]
    required: dict[str, some.SearchStrategy[str]] = {}
    if frequency == "YEARLY" and draw(some.integers(0, 3)) == 0:
        # Without BYDAY dateutil takes the whole week, and §3.3.10 the day of the start.
        parts, required = {"BYMONTH": MONTHS}, WEEKS
    optional = parts | TIMES | {"BYSETPOS": numbers(1, 2, 3, -1, -2, 10)}
    chosen = draw(some.fixed_dictionaries(required, optional=optional))
    if "53" in chosen.get("BYDAY", ""):
        chosen.pop("BYMONTH", None)  # dateutil fails over a month with 53 of them
    chosen |= draw(
        some.fixed_dictionaries(
            {}, optional={"INTERVAL": some.integers(1, 12).map(str), "WKST": some.sampled_from(WEEKDAYS)}
        )
    )
    return ";".join([f"FREQ={frequency}", *(f"{name}={value}" for name, value in chosen.items())])


walls = some.datetimes(datetime(1995, 1, 1), datetime(2032, 1, 1)).map(  # noqa: DTZ001  # wall time
    lambda wall: wall.replace(minute=wall.minute // 15 * 15, second=0, microsecond=0)
)


def instant(wall: datetime, zone: str) -> datetime:
    """The first instant at which the zone's clocks show that; where they skip it, as if they had not changed."""
    here = ZoneInfo(zone)
    noon = wall.replace(tzinfo=UTC)
    offsets = {(noon + hours * timedelta(hours=1)).astimezone(here).utcoffset() for hours in range(-30, 31)}
    shown = [noon - offset for offset in offsets if offset is not None]
    right = [at for at in shown if at.astimezone(here).replace(tzinfo=None) == wall]
    if right:
        return min(right)
    before = max(at for at in (at.astimezone(here) for at in shown) if at.replace(tzinfo=None) < wall)
    return noon - (before.utcoffset() or timedelta())


def found_by_dateutil(rule: str, start: datetime, end: datetime) -> Iterator[datetime]:
    return takewhile(lambda wall: wall < end, rrulestr(rule, dtstart=start))


@settings(max_examples=150, deadline=None)
@given(
    rule=rules(),
    start=walls,
    zone=some.sampled_from(ZONES),
    begin=some.integers(0, 4000),
    span=some.integers(1, 500),
    ending=some.none() | some.integers(1, 60) | some.integers(0, 4500).map(timedelta),
    data=some.data(),
)
def test_occurrences_are_those_of_an_independent_implementation(
    rule: str, start: datetime, zone: str, begin: int, span: int, ending: int | timedelta | None, data: Any
) -> None:
    if "WEEKLY" in rule and "BYSETPOS" in rule:
        # In the first week dateutil counts from the start. §3.3.10 has the set of the whole week, as in any other.
        wkst = WEEKDAYS.index(rule.partition("WKST=")[2][:2] or "MO")
        start -= (start.weekday() - wkst) % 7 * DAY
    first, last = Moment(start, zone), Moment(start + timedelta(hours=3), zone)
    window = [instant(start, zone) + begin * DAY, instant(start, zone) + (begin + span) * DAY]
    lines = [f"RRULE:{rule}"]
    if isinstance(ending, int):
        lines = [f"{lines[0]};COUNT={ending}"]
    elif ending is not None:
        lines = [f"{lines[0]};UNTIL={first.instant + ending:%Y%m%dT%H%M%SZ}"]
    try:
        Recurrence.read([f"RRULE:{rule}"], first, last)  # what has no occurrences, dateutil would look for for seconds
        Recurrence.read(lines, first, last)
    except RecurrenceError:
        return

    expected = sorted({start, *found_by_dateutil(rule, start, window[1].replace(tzinfo=None) + 2 * DAY)})
    if isinstance(ending, int):
        expected = expected[:ending]
    elif ending is not None:
        expected = [wall for wall in expected if instant(wall, zone) <= first.instant + ending]
    added = data.draw(some.lists(walls, max_size=3))
    removed = data.draw(some.lists(some.sampled_from(expected) | walls, max_size=3))
    for name, dates in (("RDATE", added), ("EXDATE", removed)):
        if dates:
            lines.append(f"{name};TZID={zone}:{','.join(f'{wall:%Y%m%dT%H%M%S}' for wall in dates)}")
    expected = sorted({*expected, *added} - {*removed})

    recurrence = Recurrence.read(lines, first, last)
    assert Recurrence.read(recurrence.lines(zone), first, last) == recurrence
    found = [at for at in Series(first, last, recurrence).between(*window) if at.starts_at >= window[0]]
    assert [(at.starts_at, at.original.wall) for at in found] == sorted(
        (instant(wall, zone), wall) for wall in expected if window[0] <= instant(wall, zone) < window[1]
    )
    assert all(at.ends_at > at.starts_at for at in found)


@pytest.mark.parametrize("zone", ZONES)
def test_each_quarter_of_an_hour_around_a_change_of_clocks(zone: str) -> None:
    changes = [
        datetime(year, month, day)  # noqa: DTZ001  # wall time
        for year, month, day in (
            (2011, 12, 30),
            (2018, 11, 4),
            (2024, 3, 31),
            (2026, 3, 8),
            (2026, 3, 29),
            (2026, 10, 25),
        )
    ]
    for change in changes:
        for quarter in range(-96, 3 * 96):
            wall = change + quarter * timedelta(minutes=15)
            assert Moment(wall, zone).instant == instant(wall, zone), (wall, zone)
