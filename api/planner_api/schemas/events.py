"""Bodies of events."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from planner_common.recurrence.recurrences import MAX_LENGTH, MAX_LINES
from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from planner_api.events.people import Person
from planner_api.events.state import State
from planner_api.schemas.common import EmailAddress, In, Instant, Out
from planner_api.schemas.times import Time, TimeOut, fault

MAX_TITLE, MAX_DESCRIPTION, MAX_LOCATION, MAX_URL = 200, 20_000, 1_000, 2_000
MAX_PARTICIPANTS_INLINE, MAX_PARTICIPANTS_ADDED = 1_000, 10_000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Status = Literal["confirmed", "tentative", "cancelled"]
Role = Literal["chair", "required", "optional"]
Response = Literal["needs_action", "accepted", "declined", "tentative"]


def one_line(value: str) -> str:
    if CONTROL.search(value):
        raise fault("must be one line, without control characters")
    return value


def web_address(value: str) -> str:
    """Only the web: these become links in what others read."""
    try:
        parts = urlsplit(one_line(value))
        if parts.scheme.lower() in {"http", "https"} and parts.hostname and " " not in value:
            return value
    except ValueError:
        pass
    raise fault("must be an address that begins with http:// or https://")


Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_TITLE, strip_whitespace=True),
    AfterValidator(one_line),
]
Description = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION)]
Location = Annotated[str, StringConstraints(max_length=MAX_LOCATION)]
WebAddress = Annotated[
    str, StringConstraints(max_length=MAX_URL), AfterValidator(web_address), Field(json_schema_extra={"format": "uri"})
]
Reminders = Annotated[
    list[Annotated[int, Field(strict=True, ge=0, le=4 * 7 * 24 * 60)]],
    Field(max_length=5, description="Minutes before the start."),
    AfterValidator(lambda minutes: list(dict.fromkeys(minutes))),
]
Capacity = Annotated[
    int,
    Field(
        strict=True, ge=1, le=1_000_000, description="How many have a place; more wait. Without it, there is no limit."
    ),
]
Recurrence = Annotated[
    list[Annotated[str, StringConstraints(max_length=MAX_LENGTH)]],
    Field(
        max_length=MAX_LINES,
        description="RFC 5545's RRULE (one), RDATE and EXDATE lines, such as `RRULE:FREQ=WEEKLY;BYDAY=MO`. "
        "They come back in one form. When `start` moves and they are not given, their dates move along.",
    ),
]


class ParticipantIn(In):
    email: EmailAddress
    name: Title | None = None
    role: Role = "required"

    def person(self) -> Person:
        return Person(self.email, self.name, self.role)


class EventIn(In):
    title: Title
    description: Description | None = None
    location: Location | None = None
    url: WebAddress | None = None
    start: Time
    end: Time
    participants: Annotated[
        list[ParticipantIn],
        Field(max_length=MAX_PARTICIPANTS_INLINE, description="Who is named twice comes as first named."),
    ] = Field(default_factory=list)
    reminders: Reminders = Field(default_factory=list)
    capacity: Capacity | None = None
    recurrence: Recurrence = Field(default_factory=list)

    @field_validator("end")
    @classmethod
    def end_fits_start(cls, end: Time, info: ValidationInfo) -> Time:
        if "start" in info.data:
            wrong = State(title="", start=info.data["start"].moment(), end=end.moment()).fault()
            if wrong is not None:
                raise fault(wrong)
        return end

    def state(self) -> State:
        return State(
            title=self.title,
            description=self.description,
            location=self.location,
            url=self.url,
            start=self.start.moment(),
            end=self.end.moment(),
            reminders=tuple(self.reminders),
            capacity=self.capacity,
            recurrence=tuple(self.recurrence),
        )


class EventChanges(In):
    """What is left out stays as it is; null clears what may be absent."""

    title: Title = Field(default_factory=str)  # a factory, since OpenAPI would show a default
    description: Description | None = None
    location: Location | None = None
    url: WebAddress | None = None
    start: Time = Field(default_factory=Time.model_construct)
    end: Time = Field(default_factory=Time.model_construct)
    reminders: Reminders = Field(default_factory=list)
    capacity: Capacity | None = None
    recurrence: Recurrence = Field(default_factory=list)

    def applied_to(self, state: State) -> dict[str, Any]:
        """The fields of the new state that differ from the old one's."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for name in ("start", "end"):
            if name in given:
                given[name] = given[name].moment()
        for name in ("reminders", "recurrence"):
            if name in given:
                given[name] = tuple(given[name])
        return {name: value for name, value in given.items() if value != getattr(state, name)}


class Organizer(Out):
    id: UUID
    name: str
    email: str


class Counts(Out):
    needs_action: int
    accepted: int
    declined: int
    tentative: int = Field(description="Without those who wait.")
    waiting: int = Field(description="How many have accepted and wait for a place.")


class EventOut(Out):
    id: UUID
    uid: str
    title: str
    description: str | None
    location: str | None
    url: str | None
    status: Status
    start: TimeOut
    end: TimeOut
    starts_at: Instant
    ends_at: Instant
    all_day: bool
    reminders: list[int]
    capacity: int | None
    recurrence: list[str]
    revision: int
    organizer: Organizer
    my_response: Response | None = Field(
        description="The caller's own answer (`tentative` while waiting for a place); null for who does not take part."
    )
    counts: Counts
    created_at: Instant
    updated_at: Instant


class EventList(Out):
    items: list[EventOut]
    next_cursor: str | None
