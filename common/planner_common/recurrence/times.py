"""Dates and times of recurrences as RFC 5545 writes them (§3.3.4, §3.3.5)."""

import re
from datetime import datetime
from typing import NamedTuple

from planner_common.moments import FIRST_YEAR, LAST_YEAR
from planner_common.recurrence.faults import RecurrenceError

LAST = datetime(LAST_YEAR, 1, 1)  # noqa: DTZ001  # wall time
"""No occurrence starts from here on: whatever is added to one is still a time."""


class Written(NamedTuple):
    """What a text says; midnight where it is a date."""

    wall: datetime
    is_date: bool
    is_utc: bool


def read(text: str, name: str) -> Written:
    """`name` is what the error speaks of. Raises RecurrenceError."""
    match = re.fullmatch("([0-9]{8})(?:T([0-9]{6})(Z)?)?", text.upper())
    try:
        wall = datetime.fromisoformat(f"{match[1]}T{match[2] or '000000'}") if match else None
    except ValueError:
        wall = None
    if match is None or wall is None:
        raise RecurrenceError(
            f"{name} has {text[:40] or 'no value'}: write 20260330, 20260330T090000 or 20260330T070000Z"
        )
    if wall.year < FIRST_YEAR or wall >= LAST:
        raise RecurrenceError(f"{name} has {text}: the year must be from {FIRST_YEAR} to {LAST.year - 1}")
    return Written(wall, match[2] is None, match[3] is not None)


def written(wall: datetime, zone: str | None) -> str:
    """A date where there is no zone; with a Z in UTC."""
    date = f"{wall.year:04}{wall.month:02}{wall.day:02}"
    return date if zone is None else f"{date}T{wall:%H%M%S}{'Z' if zone == 'UTC' else ''}"
