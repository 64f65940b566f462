"""Events as iCalendar (RFC 5545), as one reader may see them (docs/decisions/0009)."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from planner_api.calendars.lines import escaped, folded, quoted
from planner_api.calendars.vtimezones import vtimezone
from planner_api.events.state import Moment

HEAD = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Planner//Planner 1//EN", "CALSCALE:GREGORIAN")
REFRESH = "PT1H"
"""How often programs are asked to look again."""
ROLES = {"chair": "CHAIR", "required": "REQ-PARTICIPANT", "optional": "OPT-PARTICIPANT"}
TEXTS = {"title": "SUMMARY", "description": "DESCRIPTION", "location": "LOCATION", "url": "URL"}
"""The properties of fields."""
SAFE = "@+!$*'=_~"
"""What a mailto: address need not encode (RFC 6068 §2), of what addresses are made of."""


class Exported(NamedTuple):
    """An event as `feeds` reads it. `uid` is its own in the calendar it goes into."""

    id: UUID
    uid: str
    title: str
    description: str | None
    location: str | None
    url: str | None
    status: str
    start_wall: datetime
    start_zone: str | None
    end_wall: datetime
    end_zone: str | None
    reminders: list[int]
    sequence: int
    source: str | None
    edited: list[str]
    created_at: datetime
    updated_at: datetime
    organizer_name: str
    organizer_email: str
    organizes: bool
    """Whether the reader does."""
    response: str | None
    """The reader's own."""
    people: list[tuple[str, str | None, str, str]]
    """Address, name, role and response."""


class Zones:
    """What the events of one calendar have used of zones: there is one VTIMEZONE for each."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.own: dict[str, list[str]] = {}

    def add(self, tzid: str, lines: list[str]) -> str:
        """Take in a zone that a file brought, and say by which name: two files may mean different things by one."""
        while self.own.setdefault(tzid, lines) != lines:
            tzid += "+"
            lines = [f"TZID:{tzid}" if line.startswith("TZID:") else line for line in lines]
        return tzid

    def text(self) -> str:
        own = (line for lines in self.own.values() for line in lines)
        return written(own) + "".join(vtimezone(name) for name in sorted(self.used))


def written(lines: Iterable[str]) -> str:
    return "".join([f"{folded(line)}\r\n" for line in lines])


def head(name: str | None) -> str:
    """How a calendar begins; with a name, one to subscribe to. Without METHOD: with one, it could not name attendees
    (RFC 5546 §3.2.1)."""
    if name is None:
        return written(HEAD)
    text = escaped(name)
    refresh = f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}", f"X-PUBLISHED-TTL:{REFRESH}"
    return written([*HEAD, f"NAME:{text}", f"X-WR-CALNAME:{text}", *refresh])


def made_here(event: Exported, zones: Zones) -> Iterator[str]:
    """The VEVENT of an event that was made here, in lines that are not folded yet."""
    yield from begun(event, event.sequence)
    yield f"CREATED:{utc(event.created_at)}"
    yield from when(event, zones)
    yield from texts(event, TEXTS.values())
    yield f"STATUS:{event.status.upper()}"
    yield f"TRANSP:{'TRANSPARENT' if is_free(event) else 'OPAQUE'}"
    if event.people:
        yield organizer(event)
        for person in event.people:
            yield attendee(*person)
    yield from alarms(event)
    yield "END:VEVENT"


def is_free(event: Exported) -> bool:
    """Whether it takes none of the reader's time."""
    return event.status == "cancelled" or event.response == "declined"


def begun(event: Exported, sequence: int) -> Iterator[str]:
    revised = utc(event.updated_at)
    yield "BEGIN:VEVENT"
    yield f"UID:{escaped(event.uid)}"
    yield f"DTSTAMP:{revised}"  # RFC 5545 §3.8.7.2: without METHOD it is when the event was last revised
    yield f"LAST-MODIFIED:{revised}"
    yield f"SEQUENCE:{sequence}"


def utc(instant: datetime) -> str:
    """PostgreSQL's instants come in UTC."""
    return f"{_digits(instant)[:15]}Z"


def _digits(wall: datetime) -> str:
    return wall.isoformat("T", "seconds").replace("-", "").replace(":", "")


def when(event: Exported, zones: Zones) -> Iterator[str]:
    start, end = Moment(event.start_wall, event.start_zone), Moment(event.end_wall, event.end_zone)
    yield _time("DTSTART", start, zones)
    if end != start:  # RFC 5545 §3.8.2.2: an end is later; what has none ends as it begins
        yield _time("DTEND", end, zones)


def _time(name: str, moment: Moment, zones: Zones) -> str:
    written = _digits(moment.wall)
    if moment.zone is None:
        return f"{name};VALUE=DATE:{written[:8]}"
    if moment.zone == "UTC":
        return f"{name}:{written}Z"
    zones.used.add(moment.zone)
    return f"{name};TZID={moment.zone}:{written}"


def texts(event: Exported, names: Iterable[str]) -> Iterator[str]:
    for field, name in TEXTS.items():
        value = getattr(event, field)
        if value is not None and name in names:
            yield f"{name}:{value if name == 'URL' else escaped(value)}"


def organizer(event: Exported) -> str:
    return f"ORGANIZER;CN={quoted(event.organizer_name)}:{address(event.organizer_email)}"


@lru_cache(maxsize=4096)
def address(email: str) -> str:
    return f"mailto:{quote(email, safe=SAFE)}"


@lru_cache(maxsize=4096)
def attendee(email: str, name: str | None, role: str, response: str) -> str:
    """An ATTENDEE. The same people meet again and again."""
    called = f";CN={quoted(name)}" if name else ""
    asked = ";RSVP=TRUE" if response == "needs_action" else ""
    return f"ATTENDEE{called};ROLE={ROLES[role]};PARTSTAT={partstat(response)}{asked}:{address(email)}"


def partstat(response: str) -> str:
    return response.upper().replace("_", "-")


def alarms(event: Exported) -> Iterator[str]:
    if is_free(event):
        return
    for minutes in event.reminders:
        yield from ("BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{escaped(event.title)}")
        yield from (f"TRIGGER:-PT{minutes}M", "END:VALARM")
