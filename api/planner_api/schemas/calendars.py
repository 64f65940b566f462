"""Bodies of calendars to subscribe to."""

from uuid import UUID

from pydantic import Field

from planner_api.schemas.common import In, Instant, Name, Out


class CalendarRequest(In):
    name: Name = Field(default="Planner", description="What programs show as the calendar's name.")


class Calendar(Out):
    id: UUID
    name: str
    created_at: Instant


class NewCalendar(Calendar):
    url: str = Field(description="Where to subscribe. A secret, shown this once: only its hash is kept.")


class Calendars(Out):
    items: list[Calendar]
    next_cursor: str | None
