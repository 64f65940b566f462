"""The events of a calendar file.

A component is read by itself: one that makes no sense is reported and the others are kept. Of one event there may be
several components (its occurrences that differ, RFC 5545 §3.8.4.4; older versions of it): they are one entry.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter
from urllib.parse import unquote

from planner_common.moments import FIRST_YEAR, LAST_YEAR, Moment
from pydantic_core import PydanticCustomError

from planner_api.calendars.components import Component, Property
from planner_api.calendars.scanning import decoded, scan
from planner_api.calendars.zones import Zones
from planner_api.events.people import Person, distinct
from planner_api.events.state import State
from planner_api.schemas.common import normalized_email
from planner_api.schemas.events import CONTROL, MAX_DESCRIPTION, MAX_LOCATION, MAX_TITLE, MAX_URL, web_address

MAX_EVENTS = 10_000
UNTITLED = "Untitled"
MESSAGES = {"REPLY", "COUNTER", "REFRESH", "DECLINECOUNTER"}
"""Methods (RFC 5546) of calendars that speak about an event, and are none."""
ROLES = {"CHAIR": "chair", "OPT-PARTICIPANT": "optional", "NON-PARTICIPANT": "optional"}


class NoCalendarError(ValueError):
    """The file holds nothing to import, or more than is taken at once."""


class UnreadableError(ValueError):
    """A component makes no sense as an event."""


@dataclass(frozen=True, slots=True)
class Failure:
    uid: str
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    uid: str
    state: State
    people: list[Person]
    source: str


def read(content: bytes, charset: str | None, time_zone: str) -> tuple[list[Entry], list[Failure]]:
    """The events of a file, and those that make no sense. Times without a zone are in `time_zone`.

    Raises NoCalendarError when it is no calendar, or one without events.
    """
    calendars = scan(decoded(content, charset))
    if not calendars:
        raise NoCalendarError("this is no iCalendar file: it has no BEGIN:VCALENDAR")
    number = sum(len(calendar.events) for calendar in calendars)
    if number == 0:
        raise NoCalendarError("the calendar has no events (no BEGIN:VEVENT)")
    if number > MAX_EVENTS:
        raise NoCalendarError(f"the file has {number:,} events, more than the {MAX_EVENTS:,} that are taken at once")
    by_uid: dict[str, list[Component]] = {}
    zones: dict[int, Zones] = {}
    for calendar in calendars:
        if calendar.events and calendar.method not in MESSAGES:
            zones[id(calendar)] = Zones(calendar, time_zone)
            for block in calendar.events:
                component = Component(calendar, block)
                by_uid.setdefault(component.uid, []).append(component)
    entries: list[Entry] = []
    failures: list[Failure] = []
    for uid, components in by_uid.items():
        try:
            entries.append(_entry(uid, components, zones))
        except (ValueError, OverflowError) as error:
            failures.append(Failure(uid, str(error)))
    return entries, failures


def _entry(uid: str, components: list[Component], zones: dict[int, Zones]) -> Entry:
    """One event of all that the file says about it."""
    masters = [component for component in components if not component.is_occurrence] or components
    newest = max(masters, key=attrgetter("version"))  # the first of several that are equally new
    told = newest
    if newest.is_cancelled and "DTSTART" not in newest.properties:  # RFC 5546 §3.2.5: a CANCEL need not repeat it
        told = max(
            (component for component in masters if "DTSTART" in component.properties),
            key=attrgetter("version"),
            default=newest,
        )
    state = _state(told, zones[id(told.calendar)])
    if newest.is_cancelled:
        state = replace(state, status="cancelled")
    people = [person for found in told.properties.get("ATTENDEE", ()) if (person := _person(found)) is not None]
    needed = {id(block): block for one in components for block in zones[id(one.calendar)].needed(one.block.lines)}
    source = "\r\n".join([*(block.text for block in needed.values()), *(component.source for component in components)])
    if "\0" in source:  # which PostgreSQL can't store
        raise UnreadableError("it holds a NUL character")
    return Entry(uid, state, distinct(people), source)


def _state(component: Component, zones: Zones) -> State:
    if component.fault is not None:
        raise UnreadableError(component.fault)
    start, end = _times(component, zones)
    status = component.text("STATUS").lower()
    return State(
        title=_cut(" ".join(CONTROL.sub(" ", component.text("SUMMARY")).split()), MAX_TITLE) or UNTITLED,
        description=_cut(component.text("DESCRIPTION"), MAX_DESCRIPTION) or None,
        location=_cut(component.text("LOCATION"), MAX_LOCATION) or None,
        url=_url(component.first("URL")),
        status=status if status in {"tentative", "cancelled"} else "confirmed",
        start=start,
        end=end,
    )


def _cut(text: str, length: int) -> str:
    """What is too long loses its end here; the source keeps it."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _url(found: Property | None) -> str | None:
    try:
        return web_address(found.raw) if found and len(found.raw) <= MAX_URL else None
    except PydanticCustomError:
        return None


def _person(found: Property) -> Person | None:
    """Who an ATTENDEE is, if it is somebody with an e-mail address."""
    scheme, _, address = found.raw.partition(":")
    if scheme.lower() != "mailto":
        address = str(found.parameters.get("EMAIL", ""))  # RFC 7986 §6.2: for whom is not reached by mail otherwise
    try:
        email = normalized_email(unquote(address.partition("?")[0]))
    except ValueError:
        return None
    name = _cut(" ".join(CONTROL.sub(" ", str(found.parameters.get("CN", ""))).split()), MAX_TITLE)
    return Person(email, name or None, ROLES.get(str(found.parameters.get("ROLE", "")).upper(), "required"))


def _times(component: Component, zones: Zones) -> tuple[Moment, Moment]:
    """Start and end, as RFC 5545 §3.6.1 has it where DTEND is missing."""
    start_property, end_property = component.first("DTSTART"), component.first("DTEND")
    if start_property is None:
        raise UnreadableError("it has no DTSTART")
    start = _moment("DTSTART", start_property, zones)
    if end_property is not None:
        end = _moment("DTEND", end_property, zones)
        if (start.zone is None) is not (end.zone is None):
            raise UnreadableError("one of DTSTART and DTEND is a date, and the other has a time")
    else:
        end = _after(start, component.first("DURATION"))
    if start.zone is None and end.wall == start.wall:  # a common mistake: the last day instead of the day after
        end = Moment(start.wall + timedelta(days=1), None)
    if end.instant < start.instant:
        raise UnreadableError("it ends before it starts")
    return _within(start), _within(end)


def _moment(name: str, found: Property, zones: Zones) -> Moment:
    value = found.value
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return Moment(value.astimezone(UTC).replace(tzinfo=None), "UTC")
        return zones.moment(_within(Moment(value, None)).wall, str(found.parameters.get("TZID", "")))
    if isinstance(value, date):
        return _within(Moment(datetime.combine(value, time()), None))
    raise UnreadableError(f"{name} is neither a date nor a time: {found.raw[:80]}")


def _within(moment: Moment) -> Moment:
    if not FIRST_YEAR <= moment.wall.year <= LAST_YEAR:
        raise UnreadableError(f"the year must be from {FIRST_YEAR} to {LAST_YEAR}")
    return moment


def _after(start: Moment, duration: Property | None) -> Moment:
    """The end of what lasts `duration`: days by the calendar, hours by the clock (RFC 5545 §3.3.6)."""
    length: timedelta = duration.value if duration else timedelta(0)
    if start.zone is None:
        return Moment(start.wall + timedelta(days=length.days + (length.seconds > 0)), None)
    if duration is None or "T" not in duration.raw.upper():
        return Moment(start.wall + length, start.zone)
    return Moment.at(start.instant + length, start.zone)
