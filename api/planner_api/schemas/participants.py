"""Bodies of participants and of their answers."""

from typing import Annotated, Any
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import Field, StringConstraints, ValidationError, WithJsonSchema

from planner_api.events.people import Person
from planner_api.schemas.common import In, Instant, Out
from planner_api.schemas.events import MAX_PARTICIPANTS_ADDED, ParticipantIn, Response, Role
from planner_api.turns import taking_turns

MAX_FAULTS = 100
"""How many faults of a list are told at once."""


class Participants(In):
    # Checked by `people`: ten thousand at once would keep all other requests waiting.
    participants: Annotated[
        list[Any],
        Field(min_length=1, max_length=MAX_PARTICIPANTS_ADDED),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/ParticipantIn"},
                "minItems": 1,
                "maxItems": MAX_PARTICIPANTS_ADDED,
                "description": "Who is in the event already, or named twice, is added once.",
            }
        ),
    ]

    async def people(self) -> list[Person]:
        """Everybody once, as first named. Raises RequestValidationError, as for any other body."""
        found: dict[str, Person] = {}
        faults: list[Any] = []
        async for index, item in taking_turns(enumerate(self.participants)):
            try:
                person = ParticipantIn.model_validate(item).person()
            except ValidationError as error:
                faults += [
                    fault | {"loc": ("body", "participants", index, *fault["loc"])}
                    for fault in error.errors(include_url=False)
                ]
                if len(faults) >= MAX_FAULTS:
                    break
            else:
                found.setdefault(person.email, person)
        if faults:
            raise RequestValidationError(faults)
        return list(found.values())


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
    waiting: int | None = Field(description="The place in the waitlist, from 1; null for who does not wait.")


class ParticipantList(Out):
    items: list[ParticipantOut]
    next_cursor: str | None


class Answer(In):
    response: Response = Field(description="`needs_action` takes an answer back.")
    comment: Annotated[str, StringConstraints(max_length=1_000)] | None = None
