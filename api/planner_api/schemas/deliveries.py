"""Who was told what of an event, for its organizer."""

from typing import Literal

from planner_common.deliveries import ChannelType, Reason, State
from planner_common.explanations import Discreet
from pydantic import Field

from planner_api.schemas.common import Instant, Out
from planner_api.schemas.explanations import TEXT
from planner_api.schemas.notifications import NotificationKind

StateQuery = Literal["pending", "sent", "failed", "dead", "superseded", "held"]


class PersonTold(Out):
    email: str | None = Field(description="null: of somebody whom the event does not know.")
    name: str | None


class DeliveryOut(Out):
    """One message on one channel. Of the channels of others only the type is shown, and of their wishes nothing."""

    type: ChannelType
    state: State
    reason: Reason | Discreet | None = Field(
        description="Why it waits, was given up or not sent; `own_choice`: as the person wanted it."
    )
    text: str = Field(description=TEXT)
    superseded_by: int | None = Field(description="The event's revision that made it needless.")
    outcome_unknown: bool = Field(description="Whether one try at least may have arrived without our knowing.")
    attempts: int
    last_status: int | None = Field(description="A reply code of SMTP, or a status of HTTP.")
    due_at: Instant | None = Field(description="When it is to be tried next; null: it is finished, or own choice.")
    finished_at: Instant | None


class PersonDeliveries(Out):
    """What one person was told of one change, or a change of which nobody was told since an admin has to approve it."""

    revision: int
    kind: NotificationKind
    changed_at: Instant
    person: PersonTold | None = Field(description="null: nobody was told yet, see `held_at`; or is, see `rejected_at`.")
    told_at: Instant | None = Field(description="When it was in the inbox.")
    held_at: Instant | None = Field(description="Since when an admin has to approve it.")
    rejected_at: Instant | None = Field(description="When an admin decided that nobody is told.")
    deliveries: list[DeliveryOut]
    text: str | None = Field(description="Where there are no deliveries, why. " + TEXT)


class DeliveryList(Out):
    items: list[PersonDeliveries]
    next_cursor: str | None
