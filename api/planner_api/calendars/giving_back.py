"""What was imported, as iCalendar again: nothing that the file had is lost.

Who brought it gets the file's own lines, but for those that say what was changed here since (`events.edited`). To
others goes what the API shows them, and of the file only when the event takes place: what else its lines say was
written for whom they come from.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from planner_api.calendars.exporting import (
    TEXTS,
    Exported,
    Zones,
    again,
    alarms,
    attendee,
    begun,
    is_free,
    organizer,
    partstat,
    texts,
    when,
)
from planner_api.calendars.lines import parts
from planner_api.calendars.sources import Component, Times, cut, tzid_parameter
from planner_api.schemas.common import normalized_email

WHEN = frozenset({"DTSTART", "DTEND", "DURATION"})
RECURRENCE = frozenset({"RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"})
RULES = frozenset({"RRULE", "RDATE", "EXDATE", "EXRULE"})
OURS = frozenset({"UID", "DTSTAMP", "LAST-MODIFIED", "SEQUENCE", "STATUS", "TRANSP", "ORGANIZER", "ATTENDEE"})
"""Properties that are never simply those of the file."""
FOR_OTHERS = WHEN | RECURRENCE | {"CLASS"}
OF_OCCURRENCES = frozenset({"SUMMARY", "DESCRIPTION", "LOCATION"})
"""What others get of an occurrence that differs, beside that."""
PARTSTAT = re.compile(';PARTSTAT=("[^"]*"|[^;:]*)', re.IGNORECASE)
EMAIL = re.compile(';EMAIL=("[^"]*"|[^;:]*)', re.IGNORECASE)


def given_back(event: Exported, source: str, zones: Zones) -> list[str]:
    """The VEVENT of an event that was imported, and those of its occurrences that differ."""
    said = cut(source)
    times = Times(said.zones, event.start_zone)
    lines = [line for line in _merged(event, said.event, times, zones) if line]
    for occurrence in said.occurrences:
        lines += [line for line in _occurrence(event, occurrence, times) if line]
    zones.used |= times.used - {"UTC"}
    for tzid in sorted(times.own):
        name = zones.add(tzid, said.zones[tzid])
        if name != tzid:
            lines = [line.replace(f"{tzid_parameter(tzid)}:", f"{tzid_parameter(name)}:", 1) for line in lines]
    return lines


def _merged(event: Exported, said: Component, times: Times, zones: Zones) -> Iterator[str]:
    changed = {name for field, name in TEXTS.items() if field in event.edited or not event.organizes}
    moved = bool({"start", "end"} & set(event.edited))
    yield from begun(event, said.version[0] + event.sequence)
    if moved:
        yield from when(event, zones)
    yield from again(event, zones)
    yield from texts(event, changed)
    known = OURS | changed | (WHEN if moved else set()) | (RULES if "recurrence" in event.edited else set())
    for name, line in said.properties:
        if name not in known and (event.organizes or name in FOR_OTHERS):
            yield times.rewritten(name, line)
    if not event.organizes or not said.value("CREATED"):
        yield f"CREATED:{event.created}"
    if not event.organizes or said.value("STATUS") or event.status != "confirmed":
        yield f"STATUS:{event.status.upper()}"
    if is_free(event):
        yield "TRANSP:TRANSPARENT"
    elif event.organizes:
        yield from said.lines("TRANSP")
    yield from _people(event, said)
    if event.organizes:
        yield from (times.rewritten("", line) for line in said.inner)
    if event.organizes and not event.reminders and "reminders" not in event.edited:
        yield from (times.rewritten("", line) for line in said.alarms)
    else:
        yield from alarms(event)
    yield "END:VEVENT"


def _occurrence(event: Exported, said: Component, times: Times) -> Iterator[str]:
    yield from begun(event, said.version[0] + event.sequence)
    for name, line in said.properties:
        if name not in OURS and (event.organizes or name in FOR_OTHERS | OF_OCCURRENCES):
            yield times.rewritten(name, line)
    if event.status == "cancelled":
        yield "STATUS:CANCELLED"
    else:
        yield from said.lines("STATUS")
    if event.organizes:
        yield from said.lines("TRANSP")
    yield from _people(event, said)
    if event.organizes:
        yield from (times.rewritten("", line) for line in [*said.inner, *said.alarms])
    yield "END:VEVENT"


def _people(event: Exported, said: Component) -> Iterator[str]:
    """Organizer and attendees. Whom the file names takes part, unless they were taken out; what a file says of their
    answer stands until they give one here."""
    people = {person[0]: person for person in event.people}
    named = said.lines("ATTENDEE") if event.organizes else []
    given = said.lines("ORGANIZER") if event.organizes else []
    as_given = event.organizes and said.value("RECURRENCE-ID") != ""  # the file says who is in one occurrence
    if given or (people and not as_given):
        yield given[0] if given else organizer(event)
    for line in named:
        email = _email(line)
        if email is None:
            yield line
        elif (person := people.pop(email, None)) is not None:
            yield line if person[3] == "needs_action" else _answered(line, person[3])
    if not as_given:
        yield from (attendee(*person) for person in people.values())


def _email(line: str) -> str | None:
    """Who an ATTENDEE is, as `reading` has it; None, if nobody with an e-mail address."""
    head, value = parts(line)
    scheme, _, address = value.strip().partition(":")
    if scheme.lower() != "mailto":
        match = EMAIL.search(head)
        address = match[1].strip('"') if match else ""
    try:
        return normalized_email(unquote(address.partition("?")[0]))
    except ValueError:
        return None


def _answered(line: str, response: str) -> str:
    head, value = parts(line)
    return f"{PARTSTAT.sub('', head)};PARTSTAT={partstat(response)}:{value}"
