"""What the bodies of all nouns share."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import email_validator
from planner_common.people import normalize_email
from planner_common.zones import zone_names
from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, StringConstraints, WithJsonSchema

# Addresses within a company's own network (`.local`, `.internal`) are addresses too.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

_ATOM = r"[a-z0-9_+-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
PLAIN_ADDRESS = re.compile(
    rf"(?=.{{1,64}}@)(?=.{{3,254}}\Z){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]*[a-z])"
)
"""What nearly every address looks like, lower case: a thousand of them should not cost the validator's 30 ms."""


class In(BaseModel):
    """A body that comes in: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """A body that goes out."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


def normalized_email(address: str) -> str:
    """The address in the one form that is stored. Raises ValueError when it is none."""
    plain = normalize_email(address)
    if PLAIN_ADDRESS.fullmatch(plain):
        return plain
    try:
        checked = email_validator.validate_email(address.strip(), check_deliverability=False, strict=True)
    except email_validator.EmailNotValidError as error:
        raise ValueError(str(error)) from error
    return normalize_email(checked.normalized)


def known_zone(name: str) -> str:
    if name not in zone_names():
        raise ValueError("not an IANA time zone, such as Europe/Berlin")
    return name


def zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def rfc3339(instant: datetime) -> str:
    """`2026-03-29T07:00:00Z`, with microseconds only where there are any."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return f"{instant.isoformat()[:-6]}Z"


EmailAddress = Annotated[
    str,
    StringConstraints(max_length=320),
    AfterValidator(normalized_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 320}),
]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(known_zone)]
Locale = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?$", max_length=12)
]
"""BCP 47: a language, perhaps a script, perhaps a region."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Instant = Annotated[
    datetime, PlainSerializer(rfc3339), WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization")
]


def page(items: list[Any], next_cursor: str | None) -> dict[str, Any]:
    return {"items": items, "next_cursor": next_cursor}
