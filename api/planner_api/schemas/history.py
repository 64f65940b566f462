"""Bodies of an event's history."""

from typing import Any, Literal

from planner_common.held import Decision
from pydantic import Field

from planner_api.schemas.common import Instant, Out
from planner_api.schemas.events import Organizer

ChangeKind = Literal[
    "creation",
    "invitation",
    "update",
    "reschedule",
    "cancellation",
    "restoration",
    "removal",
    "response",
    "promotion",
    "deletion",
]


class ChangeOut(Out):
    revision: int
    kind: ChangeKind
    actor: Organizer | None = Field(description="Who did it; null for the system.")
    at: Instant
    diff: dict[str, Any] = Field(
        description=(
            "`{field: [old, new]}`; `{participants: {added: n}}` or `{removed: […]}` where people came or went; "
            "`{participants: {promoted: n}}` where those who waited longest were given places."
        )
    )
    held_at: Instant | None = Field(
        description="For the organizer: since when an admin has to approve it before anybody is told."
    )
    decision: Decision | None = Field(description="For the organizer: an admin's, if the change was held.")


class History(Out):
    items: list[ChangeOut]
    next_cursor: str | None
