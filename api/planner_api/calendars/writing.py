"""Whole calendar files."""

from collections.abc import Iterable

from planner_api.calendars.exporting import Exported, Zones, head, made_here, written
from planner_api.calendars.giving_back import given_back
from planner_api.turns import taking_turns


def components(event: Exported, zones: Zones) -> list[str]:
    """An event's VEVENTs: several, if occurrences of it differ. Lines that are not folded yet."""
    return made_here(event, zones) if event.source is None else given_back(event, event.source, zones)


async def file(events: Iterable[Exported], name: str | None = None) -> bytes:
    """The events as a file; with a name, as a calendar to subscribe to."""
    zones = Zones()
    texts = [written(components(event, zones)) async for event in taking_turns(events)]
    return "".join([head(name), zones.text(), *texts, "END:VCALENDAR\r\n"]).encode()
