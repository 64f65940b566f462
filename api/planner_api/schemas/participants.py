"""Bodies of participants and of their answers."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from planner_api.schemas.common import In, Instant, Out
from planner_api.schemas.events import MAX_PARTICIPANTS_ADDED, ParticipantIn, Response, Role


class Participants(In):
    participants: Annotated[
        list[ParticipantIn],
        Field(
            min_length=1,
            max_length=MAX_PARTICIPANTS_ADDED,
            description="Who is in the event already, or named twice, is added once.",
        ),
    ]


class Added(Out):
    added: int = Field(description="How many were new. They are told; the others are not, again.")
    unchanged: int = Field(description="How many were in the event already.")
    revision: int = Field(description="The event's revision now.")


class ParticipantOut(Out):
    id: UUID
    email: str
    name: str | None
    role: Role
    response: Response
    comment: str | None = Field(description="For the organizer and the participant who wrote it; null for the others.")
    responded_at: Instant | None


class ParticipantList(Out):
    items: list[ParticipantOut]
    next_cursor: str | None


class Answer(In):
    response: Response = Field(description="`needs_action` takes an answer back.")
    comment: Annotated[str, StringConstraints(max_length=1_000)] | None = None
