"""What a TZID in a calendar file means."""

import re
from datetime import UTC, datetime, tzinfo
from io import StringIO

from dateutil.tz import tzical
from planner_common.moments import Moment
from planner_common.zones import named

from planner_api.calendars.likeness import alike
from planner_api.calendars.scanning import Block, Calendar

MAX_LINES = 500
MAX_ZONES = 500
"""Zones of its own that a file may have, counted once for each year in which one is used."""
FIRST_YEAR, LAST_YEAR = 1900, 2200
KEPT = ("RRULE", "RDATE", "TZOFFSETFROM", "TZOFFSETTO")
UNDERSTOOD = re.compile(rf"(BEGIN|END|DTSTART|{'|'.join(KEPT)})(?:;[^:]*)?:(.*)", re.IGNORECASE)
TZID = re.compile(r'^[^:"]*;TZID=("[^"]*"|[^;:]*)', re.IGNORECASE)
OFFSET = re.compile("[+-](0[0-9]|1[0-5])[0-5][0-9]([0-5][0-9])?")
# The rules that zones really have. Others (FREQ=SECONDLY) would keep a processor busy for years.
RULE = re.compile(
    r"((FREQ=YEARLY|INTERVAL=1|WKST=[A-Z]{2}|UNTIL=[0-9]{8}(T[0-9]{6}Z?)?|BYMONTH=[0-9]{1,2}|BYDAY=[+-]?[0-9]?[A-Z]{2}"
    r"|BYMONTHDAY=[0-9,-]{1,40}|BY(HOUR|MINUTE|SECOND)=[0-9]{1,2})(;|$))+",
    re.IGNORECASE,
)


class Zones:
    """The zones of one calendar. Times without a zone are in the calendar's own or, if it has none, in `default`."""

    def __init__(self, calendar: Calendar, default: str) -> None:
        self.default = named(calendar.time_zone) or default
        self._blocks = {_value(block, "TZID"): block for block in calendar.zones}
        self._rules: dict[tuple[str, int], tzinfo | None] = {}
        self._alike: dict[tuple[str, int], str | None] = {}

    def moment(self, wall: datetime, tzid: str | None) -> Moment:
        """A wall time of the file. If only the file knows its zone, it is in one that has the same clocks, so that it
        stays what it is when the event repeats; where there is none, the same instant in the default zone."""
        block = self._blocks.get(tzid or "")
        name = named(tzid or "") or (block and named(_value(block, "X-LIC-LOCATION")))
        rules = self._own(block, wall.year) if block and not name else None
        if rules is None:
            return Moment(wall, name or self.default)
        instant = wall.replace(tzinfo=rules).astimezone(UTC)
        same = Moment(wall, self._like(rules, tzid or "", wall.year))
        return same if same.zone and same.instant == instant else Moment.at(instant, self.default)

    def _like(self, rules: tzinfo, tzid: str, year: int) -> str | None:
        if (tzid, year) not in self._alike:
            self._alike[tzid, year] = alike(rules, year, tzid, self.default)
        return self._alike[tzid, year]

    def needed(self, lines: list[str]) -> list[Block]:
        """The VTIMEZONEs without which these lines mean nothing elsewhere: of the zones that only the file knows, those
        that were understood."""
        tzids = dict.fromkeys(["", *(match[1].strip('"') for line in lines if (match := TZID.search(line)))])
        understood = {tzid for (tzid, _), rules in self._rules.items() if rules is not None}
        return [self._blocks[tzid] for tzid in tzids if tzid in understood]

    def _own(self, block: Block, year: int) -> tzinfo | None:
        key = _value(block, "TZID"), year
        if key not in self._rules and len(self._rules) < MAX_ZONES and FIRST_YEAR <= year <= LAST_YEAR:
            self._rules[key] = rules_in(block, year)
        return self._rules.get(key)


def _value(block: Block, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in block.lines if line.upper().startswith(f"{name}:")), "")


def rules_in(block: Block, year: int) -> tzinfo | None:
    """A VTIMEZONE as a zone that is right in that year, or None where it makes no sense."""
    lines = ["BEGIN:VTIMEZONE", "TZID:of this file"]
    observance: dict[str, list[str]] = {}
    try:
        for name, value in (
            match.groups() for line in block.lines[1:MAX_LINES] if (match := UNDERSTOOD.fullmatch(line))
        ):
            if name.upper() == "END":
                lines += _observance(observance, year) if observance else []
                observance = {}
            else:
                observance.setdefault(name.upper(), []).append(value.strip())
        zone: tzinfo | None = tzical(StringIO("\n".join([*lines, "END:VTIMEZONE"]))).get()
        datetime(year, 1, 1, tzinfo=zone).utcoffset()
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError):
        return None
    return zone


def _observance(properties: dict[str, list[str]], year: int) -> list[str]:
    """A STANDARD or DAYLIGHT for dateutil, which takes no parameters.

    It would go through every year from a rule's beginning, which Outlook puts into 1601. So each rule begins two years
    before the last one that matters.
    """
    if not all(OFFSET.fullmatch(properties[name][0]) for name in ("TZOFFSETFROM", "TZOFFSETTO")):
        raise ValueError("an offset that no place has")
    begins = properties["DTSTART"][0]
    for rule in properties.get("RRULE", ()):
        if not RULE.fullmatch(rule):
            raise ValueError(rule)
        until = re.search("UNTIL=([0-9]{4})", rule, re.IGNORECASE)
        last = min(year, int(until[1])) if until else year
        begins = f"{max(int(begins[:4]), last - 2):04}{begins[4:]}"
    times = begins if "T" in begins.upper() else f"{begins}T000000"
    kept = [f"{name}:{value}" for name in KEPT for value in properties.get(name, ())]
    return [f"BEGIN:{properties['BEGIN'][0]}", f"DTSTART:{times}", *kept, f"END:{properties['BEGIN'][0]}"]
