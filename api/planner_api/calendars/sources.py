"""What `events.source` keeps of a calendar file, cut into components to be given back.

The lines are those of the file, so there may be anything among them. What comes out of here are content lines that a
strict reader takes: those that are none are left out, components end where they must, and a time is in UTC, in an IANA
zone, or in one whose VTIMEZONE is kept too.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from planner_common.zones import named

from planner_api.calendars.lines import clean, parts

CONTENT = re.compile(r"""\s*([A-Za-z0-9-]+)\s*((?:;[\w.-]+=(?:"[^"]*"|[^":;])*)*:.*)""", re.DOTALL)
TZID = re.compile(r';TZID=("[^"]*"|[^;:]*)', re.IGNORECASE)
TIMES = frozenset({"DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE"})
UNNAMED = "unnamed"
"""What a zone is called whose TZID the file has left empty."""
DATE = re.compile("[0-9]{8}(,[0-9]{8})*")
UNTIL = re.compile("UNTIL=([0-9]{8}T[0-9]{6})(?!Z)", re.IGNORECASE)
FLOATING = re.compile("[0-9]{8}T[0-9]{6}(?![0-9Z])", re.IGNORECASE)
"""A time that is not in UTC."""


@dataclass(slots=True)
class Component:
    """A VEVENT: its properties by name, as lines, and the lines of its alarms and of other components within it."""

    properties: list[tuple[str, str]] = field(default_factory=list)
    by_name: dict[str, list[str]] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)

    def add(self, name: str, line: str) -> None:
        self.properties.append((name, line))
        self.by_name.setdefault(name, []).append(line)

    def lines(self, name: str) -> list[str]:
        return self.by_name.get(name, [])

    def value(self, name: str) -> str:
        lines = self.by_name.get(name)
        return parts(lines[0])[1].strip() if lines else ""

    @property
    def version(self) -> tuple[int, str]:
        """Grows with each version of an event (RFC 5546 §2.1.5)."""
        sequence = self.value("SEQUENCE")
        return int(sequence) if re.fullmatch("[0-9]{1,9}", sequence) else 0, self.value("DTSTAMP")


@dataclass(slots=True)
class Source:
    """One event of a file: what was read as the event, the occurrences that differ from it, and zones of its own."""

    event: Component
    occurrences: list[Component]
    zones: dict[str, list[str]]
    """The lines of each VTIMEZONE, by TZID."""


def cut(source: str) -> Source:
    """A source as components: of several versions of one, the newest that says when it is."""
    components: list[Component] = []
    zones: dict[str, list[str]] = {}
    for block in _blocks(source.split("\r\n")):
        if block[0] == "BEGIN:VTIMEZONE":
            tzid = next((line[5:].strip() for line in block if line.startswith("TZID:")), "") or UNNAMED
            zones[tzid] = [block[0], f"TZID:{tzid}", *(line for line in block[1:] if not line.startswith("TZID:"))]
        else:
            components.append(_component(block))
    if len(components) == 1:
        return Source(components[0], [], zones)
    masters = [one for one in components if not one.value("RECURRENCE-ID")]
    event = max((one for one in masters or components if one.value("DTSTART")), key=lambda one: one.version)
    newest: dict[str, Component] = {}
    for one in components:
        occurrence = one.value("RECURRENCE-ID")
        if one is event or not occurrence:
            continue
        if not one.value("DTSTART"):  # RFC 5546 §3.2.5: the cancellation of an occurrence need not say when it was
            one.add("DTSTART", f"DTSTART{one.lines('RECURRENCE-ID')[0][len('RECURRENCE-ID') :]}")
            one.add("STATUS", "STATUS:CANCELLED")
        if occurrence not in newest or newest[occurrence].version < one.version:
            newest[occurrence] = one
    return Source(event, list(newest.values()), zones)


def _blocks(lines: list[str]) -> list[list[str]]:
    """The outermost components, as `importing` has put them one after the other, each with its END."""
    found: list[list[str]] = []
    inside: list[str] = []
    for given in lines:
        match = CONTENT.fullmatch(given)
        if match is None:
            continue
        name, line = match[1].upper(), clean(match[1] + match[2])
        if name == "BEGIN":
            kind = line[6:].strip().upper()
            line = f"BEGIN:{kind}"
            if not inside:
                found.append([])
            inside.append(kind)
        elif name == "END":
            kind = line[4:].strip().upper()
            if kind not in inside:
                continue
            while (open_one := inside.pop()) != kind:  # whose own END was forgotten
                found[-1].append(f"END:{open_one}")
            line = f"END:{kind}"
        elif not inside:
            continue
        found[-1].append(line)
    return found


def _component(block: list[str]) -> Component:
    component = Component()
    depth = 0
    within = component.inner
    for line in block[1:-1]:
        if line.startswith("BEGIN:"):
            if not depth:
                within = component.alarms if line == "BEGIN:VALARM" else component.inner
            depth += 1
        if depth:
            within.append(line)
        else:
            component.add(line.partition(":")[0].partition(";")[0].upper(), line)
        if line.startswith("END:"):
            depth -= 1
    return component


@lru_cache(maxsize=256)
def tzid_parameter(zone: str) -> str:
    return f';TZID="{zone}"' if set(zone) & set(":;,") else f";TZID={zone}"


class Times:
    """Rewrites the times of one event, so that they mean elsewhere what they were understood to mean here.

    `zone`: that of the event's beginning, which is also where times are whose zone nobody knows; None for whole days.
    """

    def __init__(self, zones: dict[str, list[str]], zone: str | None) -> None:
        self._own = zones
        self._zone = zone
        self.used: set[str] = set()
        """IANA zones in the lines that were rewritten."""
        self.own: set[str] = set()
        """Likewise, zones of the file's."""

    def rewritten(self, name: str, line: str) -> str:
        """The line; empty, if it says nothing."""
        if name == "RRULE":
            return self._until(line.replace(" ", ""))
        if name not in TIMES and ";TZID=" not in line.upper():
            return line
        head, value = parts(line)
        given = TZID.search(head)
        value = value.strip()
        head = TZID.sub("", head)
        if DATE.fullmatch(value) and "VALUE=" not in head.upper():
            head += ";VALUE=DATE"
        elif FLOATING.search(value):
            zone = self._of(given[1].strip('"') if given else "")
            if zone == "UTC":
                value = FLOATING.sub(lambda time: f"{time[0]}Z", value)
            elif zone is not None:
                head += tzid_parameter(zone)
        return f"{head}:{value}" if value else ""

    def _of(self, tzid: str) -> str | None:
        """The zone that a TZID stands for: an IANA name, or one of the file's own."""
        zone = named(tzid)
        tzid = tzid or UNNAMED
        if zone is None and (block := self._own.get(tzid)) is not None:
            zone = named(next((line[15:] for line in block if line.startswith("X-LIC-LOCATION:")), ""))
            if zone is None:
                self.own.add(tzid)
                return tzid
        zone = zone or self._zone
        if zone is not None:
            self.used.add(zone)
        return zone

    def _until(self, rule: str) -> str:
        """RFC 5545 §3.3.10: the end of a rule is in UTC where the beginning has a zone."""
        if self._zone is None or self._own:
            return rule
        zone = ZoneInfo(self._zone)

        def utc(match: re.Match[str]) -> str:
            wall = datetime.strptime(match[1].upper(), "%Y%m%dT%H%M%S").replace(tzinfo=zone)
            return f"UNTIL={wall.astimezone(UTC):%Y%m%dT%H%M%SZ}"

        return UNTIL.sub(utc, rule)
