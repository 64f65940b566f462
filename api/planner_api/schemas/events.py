"""Bodies of events."""

import re
from datetime import date, datetime, time
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from planner_api.events.state import FIRST_YEAR, LAST_YEAR, Moment, State
from planner_api.events.writing import Person
from planner_api.schemas.common import EmailAddress, In, Instant, Out, TimeZone

MAX_TITLE, MAX_DESCRIPTION, MAX_LOCATION, MAX_URL = 200, 20_000, 1_000, 2_000
MAX_PARTICIPANTS_INLINE, MAX_PARTICIPANTS_ADDED = 1_000, 10_000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
WALL_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"

Status = Literal["confirmed", "tentative", "cancelled"]
Role = Literal["chair", "required", "optional"]
Response = Literal["needs_action", "accepted", "declined", "tentative"]


def _fault(detail: str) -> PydanticCustomError:
    return PydanticCustomError("planner", detail)


def one_line(value: str) -> str:
    if CONTROL.search(value):
        raise _fault("must be one line, without control characters")
    return value


def web_address(value: str) -> str:
    """Only the web: these become links in what others read."""
    try:
        parts = urlsplit(one_line(value))
        if parts.scheme.lower() in {"http", "https"} and parts.hostname and " " not in value:
            return value
    except ValueError:
        pass
    raise _fault("must be an address that begins with http:// or https://")


def _written_as(pattern: str, example: str) -> Any:
    """Pydantic by itself would also take numbers, offsets and parts of seconds for a time."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise _fault(f"must be written like {example}")
        if not FIRST_YEAR <= int(value[:4]) <= LAST_YEAR:
            raise _fault(f"the year must be from {FIRST_YEAR} to {LAST_YEAR}")
        return value

    return BeforeValidator(check)


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
    int, Field(strict=True, ge=1, le=1_000_000, description="How many can accept. Without it, there is no limit.")
]
WallTime = Annotated[
    datetime,
    _written_as(WALL_TIME, "2026-03-29T09:00:00"),
    WithJsonSchema({"type": "string", "pattern": f"^{WALL_TIME}$", "examples": ["2026-03-29T09:00:00"]}),
]
InstantIn = Annotated[
    datetime,
    _written_as(DATE + "T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", "2026-03-29T07:00:00Z"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Day = Annotated[
    date,
    _written_as(DATE, "2026-03-29"),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-03-29"]}),
]


def _two_forms(schema: dict[str, Any]) -> None:
    """In OpenAPI a time is one of two objects."""
    properties = schema.pop("properties")
    forms = [("date_time", "time_zone"), ("date",)]
    schema["oneOf"] = [
        {
            "type": "object",
            "properties": {name: {k: v for k, v in properties[name].items() if k != "default"} for name in form},
            "required": list(form),
            "additionalProperties": False,
        }
        for form in forms
    ]
    for key in ("type", "additionalProperties"):
        schema.pop(key, None)


class Time(In):
    """Wall time and IANA zone or, for whole days, a date: `end` is then the day after the last."""

    # One model and not a union of two: a fault is then reported where it is, without the union's alternatives.
    model_config = ConfigDict(json_schema_extra=_two_forms)

    # These defaults are never seen: see has_one_form.
    date_time: WallTime = datetime.min  # noqa: DTZ901  # wall time has no zone
    time_zone: TimeZone = ""
    date: Day = date.min

    @model_validator(mode="after")
    def has_one_form(self) -> "Time":
        if self.model_fields_set not in ({"date_time", "time_zone"}, {"date"}):
            raise _fault("must have date_time and time_zone, or date alone")
        return self

    def moment(self) -> Moment:
        if "date" in self.model_fields_set:
            return Moment(datetime.combine(self.date, time()), None)
        return Moment(self.date_time, self.time_zone)


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

    @field_validator("end")
    @classmethod
    def end_fits_start(cls, end: Time, info: ValidationInfo) -> Time:
        if "start" in info.data:
            fault = State(title="", start=info.data["start"].moment(), end=end.moment()).fault()
            if fault is not None:
                raise _fault(fault)
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

    def applied_to(self, state: State) -> dict[str, Any]:
        """The fields of the new state that differ from the old one's."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for name in ("start", "end"):
            if name in given:
                given[name] = given[name].moment()
        if "reminders" in given:
            given["reminders"] = tuple(given["reminders"])
        return {name: value for name, value in given.items() if value != getattr(state, name)}


class Organizer(Out):
    id: UUID
    name: str
    email: str


class Counts(Out):
    needs_action: int
    accepted: int
    declined: int
    tentative: int


class EventOut(Out):
    id: UUID
    uid: str
    title: str
    description: str | None
    location: str | None
    url: str | None
    status: Status
    start: "TimeOut"
    end: "TimeOut"
    starts_at: Instant
    ends_at: Instant
    all_day: bool
    reminders: list[int]
    capacity: int | None
    revision: int
    organizer: Organizer
    my_response: Response | None = Field(description="The caller's own answer; null for who does not take part.")
    counts: Counts
    created_at: Instant
    updated_at: Instant


class ZonedTimeOut(Out):
    date_time: str
    time_zone: str


class DayOut(Out):
    date: str


TimeOut = ZonedTimeOut | DayOut


class EventList(Out):
    items: list[EventOut]
    next_cursor: str | None


class ChangeOut(Out):
    revision: int
    kind: Literal[
        "creation",
        "invitation",
        "update",
        "reschedule",
        "cancellation",
        "restoration",
        "removal",
        "response",
        "deletion",
    ]
    actor: Organizer | None = Field(description="Who did it; null for the system.")
    at: Instant
    diff: dict[str, Any] = Field(
        description="`{field: [old, new]}`; `{participants: {added: n}}` or `{removed: […]}` where people came or went."
    )


class History(Out):
    items: list[ChangeOut]
    next_cursor: str | None
