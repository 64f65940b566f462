"""Lists in pages: `?limit=` and an opaque `?cursor=` that says where the next page begins."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query

from planner_api.errors import invalid

LIMIT = 50
LimitQuery = Annotated[int, Query(ge=1, le=200, description="How many items a page has.")]
CursorQuery = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]


def encode(*values: str | int | None) -> str:
    """The cursor for the values by which the last item of a page is sorted."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode(cursor: str, *parsers: Any) -> tuple[Any, ...]:
    """The values of a cursor, each through its parser (`UUID`, `int`, `datetime.fromisoformat`). 422 for any other."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(parse(value) for parse, value in zip(parsers, values, strict=True))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error) as error:
        raise invalid("/cursor", "not a cursor that Planner gave") from error


def bigint(value: Any) -> int:
    """A parser for numbers that PostgreSQL's bigint can hold."""
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError(value)
    return number


def aware(value: str) -> datetime:
    """An instant out of a cursor, of which anything may have come back."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(value) from error
