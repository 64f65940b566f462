"""Why a notification came, and what became of it on each channel."""

from uuid import UUID

from planner_common.deliveries import ChannelType, Reason, State
from planner_common.explanations import Untaken, Why
from pydantic import Field

from planner_api.schemas.channels import Attempt
from planner_api.schemas.common import Instant, Out
from planner_api.schemas.notifications import NotificationKind, NotificationOut

TEXT = "A sentence in the reader's language."


class WhyTold(Out):
    reason: Why
    text: str = Field(description=TEXT)


class Told(Out):
    changed_at: Instant
    told_at: Instant = Field(description="When it was in the inbox.")
    seconds: float = Field(description="How long that took, an admin's decision included.")
    approved_at: Instant | None = Field(description="When an admin let it go, if it was held; else null.")
    text: str | None = Field(description="About the approval, if there was one.")


class RouteInForce(Out):
    """What was set up for a channel when the change was made."""

    kinds: list[NotificationKind]
    since: Instant
    until: Instant | None


class DeliveryExplained(Out):
    id: UUID = Field(description="The same at every try.")
    message_id: UUID | None = Field(description="The delivery as whose message it goes out; null: its own.")
    state: State
    reason: Reason | None
    text: str = Field(description=TEXT)
    superseded_by: int | None = Field(description="The event's revision that made it needless.")
    told_revision: int | None = Field(description="The event's revision that the message showed.")
    digest: bool = Field(description="Whether it goes out with others, in a digest.")
    outcome_unknown: bool = Field(description="Whether one try at least may have arrived without our knowing.")
    due_at: Instant | None = Field(description="When it is to be tried next; null: it is finished.")
    created_at: Instant
    finished_at: Instant | None
    attempts: list[Attempt]


class ChannelExplained(Out):
    id: UUID
    type: ChannelType
    name: str | None = Field(description="null: e-mail to the address that you are known by.")
    route: RouteInForce | None = Field(description="What it took at the time of the change; null: as by default.")
    delivery: DeliveryExplained | None = Field(description="null: it did not take it, see `untaken`.")
    untaken: Untaken | None
    text: str = Field(description=TEXT)


class Explanation(Out):
    notification: NotificationOut
    why: WhyTold
    told: Told
    channels: list[ChannelExplained] = Field(description="E-mail first, then yours in their order.")
