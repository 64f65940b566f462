"""Which IANA zone it is that a file describes without its name: the one with the same clocks."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

HOUR = timedelta(hours=1)
STEP = timedelta(days=15)
"""No zone changes its clocks and back in so short a time."""


@cache
def _clocks() -> dict[str, ZoneInfo]:
    """A zone for each way in which clocks go somewhere today, as the Unicode Consortium chose them for Windows.

    In the order of Windows' names: `Eastern Standard Time`, which is New York, comes before Haiti. First come those
    that are no place: what never changes its clocks is not meant as Kamchatka.
    """
    fixed = ["UTC", *(f"Etc/GMT{hours:+}" for hours in range(-14, 13) if hours)]
    return {name: ZoneInfo(name) for name in (*fixed, *(WINDOWS_TO_OLSON[name] for name in sorted(WINDOWS_TO_OLSON)))}


def alike(rules: tzinfo, year: int, tzid: str, preferred: str) -> str | None:
    """A zone whose clocks show what these rules say from the year's beginning to its end.

    The preferred one, if it does; else one whose city the file's own name has in it; else any.
    """
    moments = _telling(rules, year)
    found = [
        name
        for name, zone in ({preferred: ZoneInfo(preferred)} | _clocks()).items()
        if all(at.astimezone(zone).utcoffset() == offset for at, offset in moments.items())
    ]
    called = (name for name in found if name == preferred or name.rpartition("/")[2].replace("_", " ") in tzid)
    return next(called, found[0] if found else None)


def _telling(rules: tzinfo, year: int) -> dict[datetime, timedelta | None]:
    """The offset at instants of a year that tell one zone from another: all over it, and around each change."""
    first = datetime(year, 1, 1, tzinfo=UTC)
    regular = [first + number * STEP for number in range(26)]
    changes = [
        around
        for before, after in pairwise(regular)
        if _offset(rules, before) != _offset(rules, after)
        for around in _narrowed(rules, before, after)
    ]
    return {at: _offset(rules, at) for at in (*regular, *changes)}


def _narrowed(rules: tzinfo, before: datetime, after: datetime) -> tuple[datetime, datetime]:
    """The same change between two instants that are an hour apart."""
    while after - before > HOUR:
        middle = before + (after - before) // HOUR // 2 * HOUR
        if _offset(rules, middle) == _offset(rules, before):
            before = middle
        else:
            after = middle
    return before, after


def _offset(rules: tzinfo, at: datetime) -> timedelta | None:
    return at.astimezone(rules).utcoffset()
