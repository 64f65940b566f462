"""Channels: the ways out of Planner. Each is one module with one class of the protocol below.

A new one takes four files: its module, named as its type, with a `CHANNEL` that makes it; its tests; its type in
`planner_common.deliveries`; and its schema in the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

from planner_common.deliveries import ChannelType, Outcome, Purpose
from planner_common.summaries import Reader

ANSWER_LIMIT = 1_000
"""Characters of the other side's answer that a try keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One notification within a message. The event is as it is now, not as the change left it."""

    notification_id: UUID
    change_id: int
    kind: str
    """As the API names it: `invitation`, `reschedule`, …"""
    revision: int
    """Of the change."""
    actor: str | None
    """The name of who made the change."""
    diff: Mapping[str, Any]
    event_id: UUID
    event_revision: int
    uid: str
    title: str
    description: str | None
    location: str | None
    url: str | None
    status: str
    all_day: bool
    starts_at: datetime
    """In UTC; for a whole day its midnight there."""
    ends_at: datetime
    organizer_name: str
    organizer_email: str
    at: datetime
    """When the change was made."""

    @property
    def start(self) -> date | datetime:
        return self.starts_at.date() if self.all_day else self.starts_at

    @property
    def end(self) -> date | datetime:
        return self.ends_at.date() if self.all_day else self.ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What goes to one destination: a notification, several in a digest, a code, or a test."""

    id: UUID
    """The same at every try."""
    purpose: Purpose
    person_id: UUID
    channel_id: UUID
    address: Mapping[str, Any]
    """Where to: `{"email"}`, `{"url", "secrets"}` (a webhook's, newest first) or `{"url"}` (Apprise's)."""
    reader: Reader
    name: str | None
    """What the reader is called, as far as is known."""
    items: tuple[Item, ...] = ()
    """In the order of their changes. Empty for a code or a test."""
    code: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a try."""

    outcome: Outcome
    status: int | None = None
    """A reply code of SMTP, a status of HTTP."""
    detail: str | None = None
    """What the other side said, or what went wrong: for people, without secrets. Cut to `ANSWER_LIMIT`."""
    retry_after: float | None = None
    """Seconds that the other side asks to be left alone, if it does."""
    host_failed: bool = False
    """It was the destination that failed, whatever the message: counts for its circuit breaker."""
    gone: bool = False
    """The other side says that this address exists no longer: the channel is to be disabled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How often and for how long a delivery is tried on a channel, and how fast its destinations are sent."""

    tries: int
    hours: float
    per_second: float = 0.0
    """To one destination; 0: as many as it takes."""


class Channel(Protocol):
    """One way out: `Email(settings)`. Made once per process, in its event loop, and used by many deliveries at once."""

    type: ChannelType
    limits: Limits

    def host(self, message: Message) -> str:
        """What pace and circuit breaker go by: messages with the same host share them."""

    async def send(self, message: Message) -> Result:
        """Try once, within bounds of its own. Raises nothing that the network or the other side can cause."""

    async def close(self) -> None:
        """Let go of connections."""
