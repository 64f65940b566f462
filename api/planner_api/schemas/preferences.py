"""Bodies of preferences and of muted events."""

import re
from datetime import time
from typing import Annotated, Any, Literal
from uuid import UUID

from planner_common.deliveries import DEFAULT_KINDS
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from planner_api.channels.kinds import in_order
from planner_api.schemas.channels import Digest
from planner_api.schemas.common import In, Instant, Out
from planner_api.schemas.notifications import NotificationKind
from planner_api.schemas.times import fault

CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
MANY = 100
"""More than anybody has channels."""


def _clock(value: Any) -> time:
    """Pydantic by itself would also take numbers, seconds and offsets for a time."""
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.fullmatch(CLOCK, value):
        raise fault("must be written like 22:00")
    return time.fromisoformat(value)


WallClock = Annotated[
    time,
    BeforeValidator(_clock),
    PlainSerializer(lambda value: value.strftime("%H:%M")),
    WithJsonSchema({"type": "string", "pattern": f"^{CLOCK}$", "examples": ["22:00"]}),
]
Kinds = Annotated[
    list[NotificationKind],
    Field(max_length=MANY, description="The kinds of notification that go there.", examples=[list(DEFAULT_KINDS)]),
    AfterValidator(lambda kinds: list(in_order(kinds))),
]


class QuietHours(In):
    """What falls in them waits until they end, unless its event starts before. In the zone of the account; they may
    span midnight."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: WallClock = Field(alias="from")
    to: WallClock

    @field_validator("to")
    @classmethod
    def ends_elsewhere(cls, to: time, info: ValidationInfo) -> time:
        if to == info.data.get("from_"):
            raise fault("must differ from `from`; null ends quiet hours")
        return to


class EmailPreferences(In):
    """E-mail to the address of the account."""

    kinds: Kinds
    digest: Digest = Field(description="Whether they go out together, every full hour or every morning.")
    paused: bool = Field(strict=True)


class ChannelPreferences(In):
    id: UUID
    kinds: Kinds


FreeBusyAnswers = Literal["everyone_i_meet", "nobody"]


class Preferences(In):
    """All of it, going in as it comes out: what is left out of a PUT would otherwise be lost unnoticed. Only
    `free_busy`, which came later, stays as it is when it is left out."""

    quiet_hours: QuietHours | None
    email: EmailPreferences
    channels: Annotated[
        list[ChannelPreferences], Field(max_length=MANY, description="All my verified channels, each once.")
    ]
    # A factory, since OpenAPI would show a default.
    free_busy: FreeBusyAnswers = Field(
        default_factory=lambda: "everyone_i_meet",
        description="Who may ask when I am busy. Never with what.",
    )


class MutedEvent(Out):
    event_id: UUID
    title: str | None = Field(description="null for who is no longer in the event.")
    muted_at: Instant


class MutedEvents(Out):
    items: list[MutedEvent]
    next_cursor: str | None
