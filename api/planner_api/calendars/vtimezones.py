"""IANA zones as VTIMEZONE components (RFC 5545 §3.6.5).

icalendar makes them too, but puts the beginning of summer time an hour late, and ends them in 2038. Here the rule that
a zone follows for good is an RRULE without end, and what it did before is told by dates.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

FIRST, LAST = 1970, 2066
"""Years. The calendar repeats after 28 years: a rule that holds in each of the last ones holds for good."""
CYCLE = 28
STEP = timedelta(days=20)
"""No zone changes its clocks and back in so short a time: at most for Ramadan, as Morocco does."""
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
Observance = tuple[timedelta, timedelta, str, bool]
"""The offset before it and its own, its name, and whether clocks are advanced for it: also where law has summer time be
the standard (Ireland)."""


@lru_cache(maxsize=64)
def vtimezone(name: str) -> str:
    """The component of a zone that `zoneinfo` knows: its lines, each with its break."""
    zone = ZoneInfo(name)
    onsets: dict[Observance, list[datetime]] = {}
    first = datetime(FIRST, 1, 1, tzinfo=UTC).astimezone(zone)
    onsets[_observance(first, first)] = [datetime(FIRST, 1, 1)]  # noqa: DTZ001  # wall time
    for before, after in _changes(zone):
        wall = before.replace(tzinfo=None) + timedelta(seconds=1)  # on the clocks that were then changed
        onsets.setdefault(_observance(before, after), []).append(wall)
    lines = ["BEGIN:VTIMEZONE", f"TZID:{name}"]
    for observance, walls in onsets.items():
        lines += _component(observance, walls)
    return "".join(f"{line}\r\n" for line in [*lines, "END:VTIMEZONE"])


def _observance(before: datetime, after: datetime) -> Observance:
    old, new = before.utcoffset() or timedelta(), after.utcoffset() or timedelta()
    return old, new, after.tzname() or "", new > old and bool(before.dst()) is not bool(after.dst())


def _changes(zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """The second before each change of the zone's offset, and the one of the change."""
    low, end = datetime(FIRST, 1, 1, tzinfo=UTC).astimezone(zone), datetime(LAST + 1, 1, 1, tzinfo=UTC)
    while low < end:
        high = _later(low, STEP)
        if high.utcoffset() == low.utcoffset():
            low = high
            continue
        before, after = low, high
        while (apart := after - before.astimezone(UTC)) > timedelta(seconds=1):
            middle = _later(before, timedelta(seconds=apart // timedelta(seconds=2)))
            before, after = (middle, after) if middle.utcoffset() == low.utcoffset() else (before, middle)
        yield before, after
        low = after


def _later(moment: datetime, by: timedelta) -> datetime:
    """Later by the clock, not on it."""
    return (moment.astimezone(UTC) + by).astimezone(moment.tzinfo)


def _component(observance: Observance, walls: Sequence[datetime]) -> Iterator[str]:
    """One observance: up to two components, since dates and the rule that follows them make two."""
    begin, rule = _rule(walls)
    for dates, way in ((walls[:begin], None), (walls[begin:], rule)):
        if not dates:
            continue
        before, own, name, summer = observance
        kind = "DAYLIGHT" if summer else "STANDARD"
        yield f"BEGIN:{kind}"
        yield f"DTSTART:{dates[0]:%Y%m%dT%H%M%S}"
        if way:
            yield f"RRULE:{way}"
        else:
            yield from (f"RDATE:{wall:%Y%m%dT%H%M%S}" for wall in dates[1:])
        yield f"TZNAME:{name}"
        yield f"TZOFFSETFROM:{_offset(before)}"
        yield f"TZOFFSETTO:{_offset(own)}"
        yield f"END:{kind}"


def _rule(walls: Sequence[datetime]) -> tuple[int, str]:
    """From which of its onsets on an observance follows one rule for good, and the rule: none, if it follows none."""
    last = walls[-1]
    if last.year != LAST:
        return len(walls), ""
    begin = len(walls) - 1
    days = {last.day}
    for later, wall in pairwise(reversed(walls)):
        like = (wall.month, wall.weekday(), wall.time()) == (last.month, last.weekday(), last.time())
        if not like or wall.year != later.year - 1 or max(days | {wall.day}) - min(days | {wall.day}) >= len(DAYS):
            break
        days.add(wall.day)
        begin -= 1
    if len(walls) - begin < CYCLE:
        return len(walls), ""
    return begin, f"FREQ=YEARLY;BYMONTH={last.month};{_days(last, min(days))}"


def _days(last: datetime, lowest: int) -> str:
    """Which day of the month it is: one of the seven days from the lowest on."""
    weekday = DAYS[last.weekday()]
    length = (date(2001, last.month % 12 + 1, 1) - timedelta(days=1)).day  # in a year that is no leap year
    if lowest == length - 6:
        return f"BYDAY=-1{weekday}"
    if lowest % 7 == 1:
        return f"BYDAY={lowest // 7 + 1}{weekday}"
    return f"BYDAY={weekday};BYMONTHDAY={','.join(str(day) for day in range(lowest, lowest + 7))}"


def _offset(offset: timedelta) -> str:
    """RFC 5545 §3.3.14."""
    seconds = int(abs(offset).total_seconds())
    written = f"{'-' if offset < timedelta() else '+'}{seconds // 3600:02}{seconds // 60 % 60:02}"
    return written + (f"{seconds % 60:02}" if seconds % 60 else "")
