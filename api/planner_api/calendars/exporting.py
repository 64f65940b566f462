"""Events as iCalendar (RFC 5545), as one reader may see them (docs/decisions/0009)."""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from planner_api.calendars.lines import LINE_OCTETS, escaped, folded, quoted
from planner_api.calendars.vtimezones import vtimezone

HEAD = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Planner//Planner 1//EN", "CALSCALE:GREGORIAN")
REFRESH = "PT1H"
"""How often programs are asked to look again."""
ROLES = {"chair": "CHAIR", "required": "REQ-PARTICIPANT", "optional": "OPT-PARTICIPANT"}
TEXTS = {"title": "SUMMARY", "description": "DESCRIPTION", "location": "LOCATION", "url": "URL"}
"""The properties of fields."""
ALL_TEXTS = frozenset(TEXTS.values())
SAFE = "@+!$*'=_~"
"""What a mailto: address need not encode (RFC 6068 §2), of what addresses are made of."""


class Exported(NamedTuple):
    """An event as `feeds` reads it, its times as iCalendar writes them: PostgreSQL does that in half the time."""

    id: UUID
    uid: str
    """As it is in the calendar that the event goes into."""
    title: str
    description: str | None
    location: str | None
    url: str | None
    status: str
    start: str
    start_zone: str | None
    end: str
    end_zone: str | None
    reminders: list[int]
    recurrence: list[str]
    sequence: int
    source: str | None
    edited: list[str]
    created: str
    updated: str
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
    return "".join([f"{line if len(line) < LINE_OCTETS and line.isascii() else folded(line)}\r\n" for line in lines])


def head(name: str | None) -> str:
    """How a calendar begins; with a name, one to subscribe to. Without METHOD: with one, it could not name attendees
    (RFC 5546 §3.2.1)."""
    if name is None:
        return written(HEAD)
    text = escaped(name)
    refresh = f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}", f"X-PUBLISHED-TTL:{REFRESH}"
    return written([*HEAD, f"NAME:{text}", f"X-WR-CALNAME:{text}", *refresh])


def made_here(event: Exported, zones: Zones) -> list[str]:
    """The VEVENT of an event that was made here, in lines that are not folded yet."""
    lines = [
        *begun(event, event.sequence),
        f"CREATED:{event.created}",
        *when(event, zones),
        *again(event, zones),
        *texts(event, ALL_TEXTS),
        f"STATUS:{event.status.upper()}",
        "TRANSP:TRANSPARENT" if is_free(event) else "TRANSP:OPAQUE",
    ]
    if event.people:
        lines.append(organizer(event))
        lines += [attendee(*person) for person in event.people]
    if event.reminders:
        lines += alarms(event)
    lines.append("END:VEVENT")
    return lines


def is_free(event: Exported) -> bool:
    """Whether it takes none of the reader's time."""
    return event.status == "cancelled" or event.response == "declined"


def begun(event: Exported, sequence: int) -> tuple[str, ...]:
    return (
        "BEGIN:VEVENT",
        f"UID:{escaped(event.uid)}",
        f"DTSTAMP:{event.updated}",  # RFC 5545 §3.8.7.2: without METHOD it is when the event was last revised
        f"LAST-MODIFIED:{event.updated}",
        f"SEQUENCE:{sequence}",
    )


def when(event: Exported, zones: Zones) -> list[str]:
    lines = [_time("DTSTART", event.start, event.start_zone, zones)]
    # RFC 5545 §3.8.2.2: an end is later. What has none ends as it begins.
    if event.end != event.start or event.end_zone != event.start_zone:
        lines.append(_time("DTEND", event.end, event.end_zone, zones))
    return lines


def again(event: Exported, zones: Zones) -> list[str]:
    """When else the event takes place: kept in the zone of its start."""
    if event.recurrence and event.start_zone not in {None, "UTC"}:
        zones.used.add(str(event.start_zone))
    return event.recurrence


def _time(name: str, wall: str, zone: str | None, zones: Zones) -> str:
    if zone is None:
        return f"{name};VALUE=DATE:{wall[:8]}"
    if zone == "UTC":
        return f"{name}:{wall}Z"
    zones.used.add(zone)
    return f"{name};TZID={zone}:{wall}"


def texts(event: Exported, names: Collection[str]) -> list[str]:
    lines = []
    if "SUMMARY" in names:
        lines.append(f"SUMMARY:{escaped(event.title)}")
    if event.description is not None and "DESCRIPTION" in names:
        lines.append(f"DESCRIPTION:{escaped(event.description)}")
    if event.location is not None and "LOCATION" in names:
        lines.append(f"LOCATION:{escaped(event.location)}")
    if event.url is not None and "URL" in names:
        lines.append(f"URL:{event.url}")
    return lines


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


def alarms(event: Exported) -> list[str]:
    if is_free(event):
        return []
    said = f"DESCRIPTION:{escaped(event.title)}"
    return [
        line
        for minutes in event.reminders
        for line in ("BEGIN:VALARM", "ACTION:DISPLAY", said, f"TRIGGER:-PT{minutes}M", "END:VALARM")
    ]
