"""Occurrences of events."""

from planner_common.recurrence import Occurrence
from pydantic import Field

from planner_api.schemas.common import Instant, Out
from planner_api.schemas.times import TimeOut


class OccurrenceOut(Out):
    recurrence_id: str = Field(description="RFC 5545's RECURRENCE-ID: `original_start` as iCalendar writes it.")
    original_start: TimeOut = Field(description="Where the event's recurrence has it: its name, wherever it is moved.")
    start: TimeOut
    end: TimeOut
    starts_at: Instant
    ends_at: Instant

    @classmethod
    def of(cls, occurrence: Occurrence) -> "OccurrenceOut":
        return cls.model_validate(
            {
                "recurrence_id": occurrence.recurrence_id,
                "original_start": occurrence.original.shown(),
                "start": occurrence.start.shown(),
                "end": occurrence.end.shown(),
                "starts_at": occurrence.starts_at,
                "ends_at": occurrence.ends_at,
            }
        )


class OccurrenceList(Out):
    items: list[OccurrenceOut]
    next_cursor: str | None
