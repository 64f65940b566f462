"""Whether two calendars say the same, as an independent reader (icalendar) understands them."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Calendar, use_zoneinfo
from icalendar.cal.component import Component
from icalendar.prop import vDDDLists, vDDDTypes, vRecur

PASSING = {"DTSTAMP", "LAST-MODIFIED", "CREATED", "SEQUENCE"}
"""What each export renews."""
DAY_IN_A_ZONE = re.compile(rb";TZID=[^:;]+:([0-9]{8})(?=\r?\n)")
"""What old exporters wrote: a whole day, for which icalendar takes the midnight of the zone."""


def calendars(content: bytes) -> list[Calendar]:
    """The calendars of a file. icalendar remembers zones from one file to the next, by name: not here."""
    use_zoneinfo()
    return list(Calendar.from_ical(content, multiple=True))


def said(content: bytes, floating: str = "UTC") -> dict[Any, Any]:
    """What each event of a file says, by UID and occurrence: the newest version of it. Times without a zone are in
    `floating`."""
    found: dict[Any, Any] = {}
    versions: dict[Any, Any] = {}
    for calendar in calendars(DAY_IN_A_ZONE.sub(rb";VALUE=DATE:\1", content)):
        if calendar.get("METHOD") == "REPLY":
            continue
        zone = ZoneInfo(str(calendar.get("X-WR-TIMEZONE", floating)))
        for event in calendar.walk("VEVENT"):
            occurrence, uids = event.get("RECURRENCE-ID"), event.get("UID", "")
            uid = uids[0] if isinstance(uids, list) else uids
            key = str(uid), instant(occurrence.dt, zone) if occurrence else None
            stamp = event.get("DTSTAMP")
            version = int(event.get("SEQUENCE", 0)), stamp.to_ical() if stamp else b""
            if key not in found or version > versions[key]:
                found[key], versions[key] = of_component(event, zone), version
    return found


def of_component(component: Component, zone: ZoneInfo) -> tuple[Counter[Any], list[Any]]:
    properties = Counter(
        (name, *value)
        for name, given in component.items()
        if name not in PASSING
        for one in (given if isinstance(given, list) else [given])
        for value in values(one, zone)
    )
    return properties, [(one.name, of_component(one, zone)) for one in component.subcomponents]


def values(value: Any, zone: ZoneInfo) -> Iterator[tuple[Any, ...]]:
    parameters = (
        {k: v for k, v in value.params.items() if k not in {"TZID", "VALUE"}} if hasattr(value, "params") else {}
    )
    shown = tuple(sorted((name, str(given)) for name, given in parameters.items()))
    if isinstance(value, vDDDLists):
        for one in value.dts:
            yield instant(one.dt, zone), shown
    elif isinstance(value, vDDDTypes):
        yield instant(value.dt, zone), shown
    elif isinstance(value, vRecur):
        yield tuple(sorted((name, str(part)) for name, part in value.items() if name != "UNTIL")), shown
        for until in value.get("UNTIL", ()):
            yield "UNTIL", instant(until, zone)
    else:
        written = value.to_ical() if hasattr(value, "to_ical") else value
        yield (written.decode() if isinstance(written, bytes) else str(written)).strip(), shown


def instant(value: Any, zone: ZoneInfo) -> Any:
    if isinstance(value, tuple):
        return tuple(instant(one, zone) for one in value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
    return value if isinstance(value, date) else str(value)
