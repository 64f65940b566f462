"""Bodies of an event's history."""

from typing import Any, Literal

from pydantic import Field

from planner_api.schemas.common import Instant, Out
from planner_api.schemas.events import Organizer


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
