"""What a request with `dry_run=true` is answered: who would be told what, where and when."""

from typing import Any, Literal

from planner_common.deliveries import ChannelType
from planner_common.explanations import Discreet
from pydantic import Field

from planner_api.schemas.common import Instant, Out
from planner_api.schemas.history import ChangeKind
from planner_api.schemas.notifications import NotificationKind


class PreviewedChange(Out):
    kind: ChangeKind
    revision: int
    diff: dict[str, Any] = Field(description="As in the event's history.")
    urgent: bool = Field(description="Whether its messages overtake others: the event starts within the hour.")
    held: bool = Field(description="Whether it would wait for an admin: too many people for one hour.")


class PreviewedPerson(Out):
    email: str
    name: str | None


class PreviewedChannel(Out):
    """Of others one learns which type of channel it is and when it is used, not which address it has, nor why then."""

    type: ChannelType
    when: Literal["now"] | Instant
    reason: Discreet | None = Field(description="Why not now: how the person has set up their messages.")


class PreviewedNotification(Out):
    person: PreviewedPerson
    kind: NotificationKind
    revision: int = Field(description="Of the change that it tells of.")
    summary: str = Field(description="What they would be told: in your language, with times in your zone.")
    inbox: Literal[True] = Field(description="Everybody who is told finds it in the inbox, at once.")
    channels: list[PreviewedChannel] = Field(
        description="Where else it goes; empty, for example, for who has muted it."
    )


class PreviewedNumbers(Out):
    """Messages, by the type of channel."""

    email: int = 0
    webhook: int = 0
    apprise: int = 0


class Preview(Out):
    """What would happen now. Nothing did, and ids in it are nobody's."""

    dry_run: Literal[True] = True
    status: int = Field(description="The status that the request would be answered with.")
    answer: Any = Field(description="What it would be answered; null: nothing.")
    changes: list[PreviewedChange]
    held: bool = Field(description="Whether an admin would have to let it go first. `when` is then counted from there.")
    people: int = Field(description="How many people would be told.")
    messages: PreviewedNumbers = Field(description="How many messages would go out beside the inbox.")
    told: list[PreviewedNotification]
    truncated: bool = Field(description="Whether `told` or `changes` lists only the first of them.")
