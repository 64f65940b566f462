"""What a TZID in a calendar file means."""

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from io import StringIO
from zoneinfo import ZoneInfo

from dateutil.tz import tzical
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from planner_api.calendars.scanning import Block, Calendar
from planner_api.events.state import Moment
from planner_api.schemas.common import zone_names

MAX_LINES = 1_000
LAST_YEAR = 2200
"""A zone's own rules are followed up to here: dateutil walks through every year, and would walk to the year 9999."""
UNDERSTOOD = re.compile(r"(BEGIN|END|TZID|DTSTART|RRULE|RDATE|TZOFFSETFROM|TZOFFSETTO)(?:;[^:]*)?:(.*)", re.IGNORECASE)
# The rules of all real zones are of this kind. Others (FREQ=SECONDLY) would keep a processor busy for years.
YEARLY = re.compile(r"(?!.*(?:BYYEARDAY|BYWEEKNO))(?!.*BY(?:HOUR|MINUTE|SECOND)=[^;]*,).*FREQ=YEARLY.*", re.IGNORECASE)


@lru_cache(maxsize=1024)
def named(tzid: str) -> str | None:
    """The IANA zone that a name stands for: its own, Windows', or one behind a vendor's prefix (RFC 5545 §3.2.19)."""
    name = tzid.strip("/ ")
    parts = name.split("/")
    candidates = [name, WINDOWS_TO_OLSON.get(name, ""), *("/".join(parts[start:]) for start in range(1, len(parts)))]
    return next((candidate for candidate in candidates if candidate in zone_names()), None)


class Zones:
    """The zones of one calendar. Times without a zone are in the calendar's own or, if it has none, in `default`."""

    def __init__(self, calendar: Calendar, default: str) -> None:
        self.default = named(calendar.time_zone) or default
        self._blocks = {_value(block, "TZID"): block for block in calendar.zones}
        self._known: dict[str, str | tzinfo] = {}

    def moment(self, wall: datetime, tzid: str | None) -> Moment:
        """A wall time of the file; if only the file knows its zone, the same instant in the default one."""
        zone = self._zone(tzid) if tzid else self.default
        if isinstance(zone, str):
            return Moment(wall, zone)
        if not 1900 <= wall.year <= LAST_YEAR:  # noqa: PLR2004
            return Moment(wall, self.default)
        instant = wall.replace(tzinfo=zone).astimezone(UTC)
        moment = Moment(instant.astimezone(ZoneInfo(self.default)).replace(tzinfo=None), self.default)
        # Of an hour that comes twice a moment can only mean the first.
        return moment if moment.instant == instant else Moment(instant.replace(tzinfo=None), "UTC")

    def _zone(self, tzid: str) -> str | tzinfo:
        if tzid not in self._known:
            block = self._blocks.get(tzid)
            place = _value(block, "X-LIC-LOCATION") if block else ""
            self._known[tzid] = named(tzid) or named(place) or (block and _rules(block)) or self.default
        return self._known[tzid]


def _value(block: Block, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in block.lines if line.upper().startswith(f"{name}:")), "")


def _rules(block: Block) -> tzinfo | None:
    """A VTIMEZONE as a zone, or None where it makes no sense."""
    lines = [match.groups() for line in block.lines[:MAX_LINES] if (match := UNDERSTOOD.fullmatch(line))]
    if any(name.upper() == "RRULE" and not YEARLY.fullmatch(rule) for name, rule in lines):
        return None
    # Without parameters, which dateutil does not take; the onset of a zone at a date is at its midnight.
    text = "\n".join(
        f"{name}:{value}T000000" if re.fullmatch("[0-9]{8}", value) else f"{name}:{value}" for name, value in lines
    )
    try:
        zone: tzinfo | None = tzical(StringIO(text)).get()
        datetime(2000, 1, 1, tzinfo=zone).utcoffset()
    except (ValueError, TypeError, AttributeError, OverflowError, IndexError):
        return None
    return zone
