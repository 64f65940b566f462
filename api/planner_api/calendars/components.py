"""A VEVENT as what Planner reads of it. All the rest is kept, as it came, in its source."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from icalendar.parser import Contentline, Parameters, unescape_backslash
from icalendar.prop import vDDDLists, vDDDTypes, vDuration, vRecur

from planner_api.calendars.scanning import Block, Calendar
from planner_api.schemas.events import CONTROL

MAX_UID = 255
MAX_CHECKED = 100_000
"""Characters of a time or a rule: thousands of exceptions to a recurrence. Reading takes time."""
PASSING = ("DTSTAMP", "LAST-MODIFIED", "CREATED", "SEQUENCE")
"""Properties that differ from one export to the next, although the event is the same."""
END_OF_ZONE = "END:VTIMEZONE\r\n"

# What must be readable for an event to be understood. RECURRENCE-ID and the rules are not used yet, but an event whose
# rule is nonsense is not understood.
CHECKED: dict[str, Callable[[str], Any]] = {
    "DTSTART": vDDDTypes.from_ical,
    "DTEND": vDDDTypes.from_ical,
    "DURATION": vDuration.from_ical,
    "RECURRENCE-ID": vDDDTypes.from_ical,
    "RRULE": lambda value: vRecur.from_ical(value.replace(" ", "")),  # Exchange writes BYDAY=MO, TU
    "EXDATE": vDDDLists.from_ical,
    "RDATE": lambda value: value and vDDDLists.from_ical(value),
}
READ = {"UID", "SUMMARY", "DESCRIPTION", "LOCATION", "URL", "STATUS", "SEQUENCE", "DTSTAMP", "ATTENDEE", *CHECKED}
NAME = re.compile(r"\s*([A-Za-z-]+)\s*[:;]")


@dataclass(slots=True)
class Property:
    parameters: Parameters
    raw: str
    text: str
    value: Any = None


@dataclass(slots=True)
class Component:
    """A VEVENT: its lines, and those that are read."""

    calendar: Calendar
    block: Block
    properties: dict[str, list[Property]] = field(default_factory=dict)
    fault: str | None = None

    def __post_init__(self) -> None:
        try:
            self._read()
        except (ValueError, OverflowError) as error:
            self.fault = str(error)

    def _read(self) -> None:
        if not self.block.whole:
            self.fault = "its END:VEVENT is missing"
        depth = 0
        for line in self.block.lines[1:]:
            match = NAME.match(line)
            name = match[1].upper() if match else ""
            depth = max(0, depth + {"BEGIN": 1, "END": -1}.get(name, 0))
            if depth or name not in READ:
                continue
            try:
                self._add(name, Contentline(line))
            except (ValueError, OverflowError) as error:
                if name in CHECKED:
                    self.fault = self.fault or f"{name}: {error}"

    def _add(self, name: str, line: Contentline) -> None:
        _, parameters, raw = line.raw_parts()
        found = Property(parameters, raw.strip(), unescape_backslash(raw))
        self.properties.setdefault(name, []).append(found)
        if name in CHECKED:
            if len(raw) > MAX_CHECKED:
                raise ValueError("too long to be taken")
            found.value = CHECKED[name](found.raw)

    def first(self, name: str) -> Property | None:
        return next(iter(self.properties.get(name, ())), None)

    def text(self, name: str) -> str:
        found = self.first(name)
        return found.text.strip() if found else ""

    @property
    def uid(self) -> str:
        """Its UID or, without one, what it says: the same again is then the same event."""
        uid = self.text("UID")
        if uid and len(uid) <= MAX_UID and not CONTROL.search(uid):
            return uid
        return f"sha256:{hashlib.sha256((uid or significant(self.source)).encode('utf-8', 'replace')).hexdigest()}"

    @property
    def source(self) -> str:
        return "\r\n".join(self.block.lines)

    @property
    def is_occurrence(self) -> bool:
        return "RECURRENCE-ID" in self.properties

    @property
    def version(self) -> tuple[int, str]:
        """Grows with each version of an event (RFC 5546 §2.1.5)."""
        sequence = self.text("SEQUENCE")
        return int(sequence) if re.fullmatch("[0-9]{1,9}", sequence) else 0, self.text("DTSTAMP")

    @property
    def is_cancelled(self) -> bool:
        return self.calendar.method == "CANCEL" or self.text("STATUS").upper() == "CANCELLED"


def significant(source: str) -> str:
    """The lines of a source that mean something to people."""
    return "\n".join(line for line in _of_events(source) if not line.upper().startswith(PASSING))


def without_people(significant: str) -> str:
    """The same, but for who is in the event, which `importing` looks at by itself."""
    return "\n".join(line for line in significant.split("\n") if not line.upper().startswith(("ATTENDEE", "ORGANIZER")))


def recurrence(source: str) -> list[str]:
    """The lines of a source that say when else the event takes place."""
    return [
        line for line in _of_events(source) if line.upper().startswith(("RRULE", "RDATE", "EXDATE", "RECURRENCE-ID"))
    ]


def _of_events(source: str) -> list[str]:
    """The lines of a source, without the zones that `reading` puts first."""
    events = source.rpartition(END_OF_ZONE)[2] if source.startswith("BEGIN:VTIMEZONE") else source
    return events.split("\r\n")
