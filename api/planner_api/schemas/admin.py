"""What admins see and decide."""

from typing import Any, Literal
from uuid import UUID

from planner_common.deliveries import ChannelType, Outcome, Purpose, Reason, State
from planner_common.replay import Wanted
from pydantic import Field

from planner_api.schemas.channels import Attempt
from planner_api.schemas.common import EmailAddress, In, Instant, Out
from planner_api.schemas.events import Organizer
from planner_api.schemas.notifications import NotificationKind
from planner_api.schemas.times import InstantIn


class EventNamed(Out):
    id: UUID
    title: str


class PersonNamed(Out):
    id: UUID
    email: str | None = Field(description="The address that they are known by; null: of somebody who is not any more.")
    name: str | None


class Answer(Out):
    outcome: Outcome
    status: int | None = Field(description="A status of HTTP, or a reply code of SMTP.")
    detail: str | None = Field(description="The beginning of what the other side answered, or what went wrong.")


class AdminDelivery(Out):
    """Never with the address that it goes to."""

    id: UUID = Field(description="The same at every try.")
    state: State
    reason: Reason | None
    type: ChannelType
    purpose: Purpose
    lane: Literal["urgent", "normal", "bulk"]
    event: EventNamed | None = Field(description="null: a code or a test.")
    kind: NotificationKind | None
    revision: int | None
    person: PersonNamed
    tries: int = Field(description="Since it was made, or replayed.")
    outcome_unknown: bool = Field(description="Whether one try at least may have arrived without our knowing.")
    superseded_by: int | None = Field(description="The event's revision that made it needless.")
    last_answer: Answer | None
    due_at: Instant
    queued_at: Instant
    finished_at: Instant | None
    created_at: Instant


class AdminDeliveryDetail(AdminDelivery):
    attempts: list[Attempt]


class AdminDeliveries(Out):
    items: list[AdminDelivery]
    next_cursor: str | None


class ReplayWanted(In):
    """Which dead deliveries: all of these that are given must be so. Without any: all."""

    type: ChannelType | None = None
    reason: Literal[Reason.REFUSED, Reason.TRIES, Reason.AGE, Reason.QUARANTINED] | None = None
    event: UUID | None = None
    person: EmailAddress | None = None
    since: InstantIn | None = Field(None, description="Given up at this time or later.")
    until: InstantIn | None = Field(None, description="Given up before this time.")

    def wanted(self) -> Wanted:
        values: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        return Wanted(**values)


class Replayed(Out):
    replayed: int = Field(description="How many are due again. A digest's go out together again, as one message.")


class ReplayedSome(Replayed):
    more: bool = Field(
        description="Whether this was as many as one request takes. Go on with the same `until`, at which you began: "
        "otherwise what dies again meanwhile is replayed for ever."
    )


class HeldChange(Out):
    id: int
    event: EventNamed
    revision: int
    kind: str
    actor: Organizer | None
    people: int = Field(description="About how many it would reach.")
    at: Instant
    held_at: Instant


class HeldChanges(Out):
    items: list[HeldChange]
    next_cursor: str | None
