"""What all statements that change events have in common: who did it, and the entry in the change log (I1).

A statement writes an event and its entry at once. All of them are set-based: one event or a thousand, it is one round
trip. An event that exists is locked by the caller first (`reading.lock`), so that ids of changes are in the order of
their commits.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from planner_common import tracing

from planner_api.turns import taking_turns


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, in which request, and whether people are to be told of it."""

    account_id: UUID
    person_id: UUID
    notify: bool
    request_id: str | None
    traceparent: str | None = field(default_factory=tracing.traceparent)
    """Of the request's span: it is asked now, for what is written together is written in a context of nobody's."""
    made: list[tuple[int, UUID]] = field(default_factory=list)
    """Changes that were made, with their events: what the request's line in the log names."""

    def parameters(self) -> dict[str, Any]:
        return {
            "actor": self.person_id,
            "notify": self.notify,
            "request_id": self.request_id,
            "traceparent": self.traceparent,
        }

    def columns(self) -> dict[str, Any]:
        """As JSON, by the names in `AUTHOR_COLUMNS`."""
        return {**self.parameters(), "organizer": str(self.account_id), "actor": str(self.person_id)}


LOG = "event_id, revision, kind, actor, diff, notify, request_id, traceparent, audience_size, fanned_out_at"
# A change of which nobody is told has nothing to fan out.
LOGGED = (
    "CAST(:actor AS uuid), {diff}, :notify, :request_id, :traceparent, {audience}, "
    "CASE WHEN :notify THEN NULL ELSE now() END"
)

LOGGED_EACH = LOGGED.replace(":", "input.")
"""The same where each row of `input` has an author of its own."""
AUTHOR_COLUMNS = "organizer uuid, actor uuid, notify boolean, request_id text, traceparent text"


async def encoded(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON for a statement."""
    return f"[{','.join([json.dumps(row) async for row in taking_turns(rows)])}]"
