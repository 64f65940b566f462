"""Bodies of channels, of their codes and of the log of what was sent to them."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from planner_api.schemas.common import EmailAddress, In, Instant, Name, Out
from planner_api.schemas.events import one_line
from planner_api.schemas.notifications import NotificationKind
from planner_api.schemas.times import fault

MAX_URL = 2_000
ADDRESS_OF = {"email": "email", "webhook": "url", "apprise": "url"}
"""The field that holds the address of a channel of each type."""

Type = Literal["email", "webhook", "apprise"]
Digest = Literal["none", "hourly", "daily"]


def _two_forms(schema: dict[str, Any]) -> None:
    """In OpenAPI a channel has the one address or the other, as its type asks."""
    schema["required"] = ["type", "name"]
    schema["oneOf"] = [
        {
            "properties": {
                "type": {"enum": [kind for kind, field in ADDRESS_OF.items() if field == form]},
                other: False,
            },
            "required": [form],
        }
        for form, other in (("email", "url"), ("url", "email"))
    ]
    for form in ("email", "url"):
        schema["properties"][form].pop("default", None)


class ChannelIn(In):
    """`email` is for the type `email`, `url` for the others."""

    # One model and not a union: a fault is then reported where it is.
    model_config = ConfigDict(json_schema_extra=_two_forms)

    type: Type
    name: Name
    digest: Digest = "none"
    email: EmailAddress = Field("", description="Another address than that of the account.")
    url: Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)] = Field(
        "", description="A webhook's, or an Apprise URL such as `ntfy://example.org/topic`."
    )

    @field_validator("name")
    @classmethod
    def name_is_one_line(cls, name: str) -> str:
        return one_line(name)

    @field_validator("email", "url")
    @classmethod
    def is_of_the_type(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("type")
        if kind is not None and info.field_name != ADDRESS_OF[kind]:
            raise fault(f"a channel of type {kind} has no {info.field_name}")
        return value

    def address(self) -> dict[str, Any]:
        """What is sealed, as the channels of the workers read it; empty when it was not given."""
        field = ADDRESS_OF[self.type]
        return {field: getattr(self, field)} if field in self.model_fields_set else {}


class ChannelChanges(In):
    """What is left out stays as it is. Another address is another channel."""

    name: Name = Field(default_factory=str)
    digest: Digest = Field(default_factory=lambda: "none")
    paused: bool = Field(default_factory=bool, strict=True)
    enabled: Literal[True] = Field(
        default_factory=lambda: True, description="Brings back a channel that Planner has disabled."
    )

    @field_validator("name")
    @classmethod
    def name_is_one_line(cls, name: str) -> str:
        return one_line(name)


class Disabled(Out):
    at: Instant
    reason: str | None


class ChannelOut(Out):
    id: UUID
    type: Type
    name: str
    hint: str | None = Field(
        description="What may be shown of the address: `a…@example.org`, a webhook's scheme and host, an Apprise URL's "
        "scheme. null: it was sealed with a key that Planner no longer has; delete the channel and make it anew."
    )
    digest: Digest
    verified: bool = Field(description="Until then nothing goes there but the code.")
    paused: bool
    disabled: Disabled | None = Field(description="By Planner: the other side said that the address is gone.")
    created_at: Instant


class NewChannel(ChannelOut):
    secret: str | None = Field(description="Of a webhook, for its signatures: shown this once.")


class ChannelList(Out):
    items: list[ChannelOut]
    next_cursor: str | None


class Code(In):
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] = Field(examples=["012345"])


class Secret(Out):
    secret: str = Field(description="Shown this once. Messages are signed with it and with the one before.")


class Queued(Out):
    id: UUID = Field(description="Of the delivery: see what becomes of it in the channel's deliveries.")


class Attempt(Out):
    number: int
    started_at: Instant
    finished_at: Instant | None
    outcome: Literal["accepted", "later", "refused", "unknown"] | None = Field(description="null: under way.")
    status: int | None = Field(description="A status of HTTP, or a reply code of SMTP.")
    duration_ms: int | None
    detail: str | None = Field(description="The beginning of what the other side answered, or what went wrong.")


class ChannelDelivery(Out):
    id: UUID = Field(description="The same at every try: a webhook's `webhook-id`, the Message-ID's first part.")
    message_id: UUID | None = Field(description="The delivery as whose message it goes out; null: its own.")
    purpose: Literal["notification", "code", "test"]
    notification_id: UUID | None
    kind: NotificationKind | None
    state: Literal["pending", "sent", "failed", "dead", "superseded"]
    reason: str | None = Field(description="Why it waits, was given up, or was not sent.")
    outcome_unknown: bool = Field(description="Whether one try at least may have arrived without our knowing.")
    due_at: Instant
    created_at: Instant
    finished_at: Instant | None
    attempts: list[Attempt]


class ChannelDeliveries(Out):
    items: list[ChannelDelivery]
    next_cursor: str | None
