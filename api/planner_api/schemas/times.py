"""Times of events, as they come in and go out."""

import re
from datetime import date, datetime, time
from typing import Annotated, Any

from planner_common.moments import FIRST_YEAR, LAST_YEAR, Moment
from pydantic import BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from planner_api.schemas.common import In, Out, TimeZone

WALL_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


def fault(detail: str) -> PydanticCustomError:
    return PydanticCustomError("planner", detail)


def _written_as(pattern: str, example: str) -> Any:
    """Pydantic by itself would also take numbers, offsets and parts of seconds for a time."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise fault(f"must be written like {example}")
        if not FIRST_YEAR <= int(value[:4]) <= LAST_YEAR:
            raise fault(f"the year must be from {FIRST_YEAR} to {LAST_YEAR}")
        return value

    return BeforeValidator(check)


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
            raise fault("must have date_time and time_zone, or date alone")
        return self

    def moment(self) -> Moment:
        if "date" in self.model_fields_set:
            return Moment(datetime.combine(self.date, time()), None)
        return Moment(self.date_time, self.time_zone)


class ZonedTimeOut(Out):
    date_time: str
    time_zone: str


class DayOut(Out):
    date: str


TimeOut = ZonedTimeOut | DayOut
