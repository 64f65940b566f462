"""Notifications, as they go out and as they are marked."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from planner_api.schemas.common import In, Instant, Out

NotificationKind = Literal[
    "invitation", "update", "reschedule", "cancellation", "restoration", "removal", "response", "reminder"
]
"""As in `planner_common.deliveries.KINDS`."""


class EventOfNotification(Out):
    """The event now; for who is no longer in it, as it was when they were told."""

    id: UUID
    title: str
    starts_at: Instant
    status: Literal["confirmed", "tentative", "cancelled"]


class NotificationOut(Out):
    id: UUID
    kind: NotificationKind
    event: EventOfNotification
    revision: int = Field(description="The event's revision that the notification speaks of.")
    summary: str = Field(description="A sentence in the reader's language, with times in the reader's zone.")
    data: dict[str, Any] = Field(description="What changed, as `{field: [old, new]}`; of long texts the beginning.")
    read_at: Instant | None
    created_at: Instant


class NotificationList(Out):
    items: list[NotificationOut]
    next_cursor: str | None


class UnreadCount(Out):
    unread: int


class ReadUpTo(In):
    up_to: UUID = Field(description="This notification and every older one.")
