"""Messages for tests of channels: whatever a test does not say is unremarkable."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from planner_common.deliveries import Purpose
from planner_common.summaries import Reader
from planner_worker.channels import Item, Message

EVENT = UUID("01990000-0000-7000-8000-000000000001")
STANDUP: dict[str, Any] = {
    "change_id": 1,
    "kind": "invitation",
    "revision": 1,
    "actor": "Ann",
    "diff": {},
    "event_id": EVENT,
    "event_revision": 1,
    "uid": f"{EVENT}@planner",
    "title": "Standup",
    "description": None,
    "location": None,
    "url": None,
    "status": "confirmed",
    "all_day": False,
    "starts_at": datetime(2026, 3, 29, 7, tzinfo=UTC),
    "ends_at": datetime(2026, 3, 29, 8, tzinfo=UTC),
    "organizer_name": "Ann",
    "organizer_email": "ann@example.org",
    "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
}


def item(**given: Any) -> Item:
    """`item(kind="cancellation", title="…")`: a notification about a standup."""
    return Item(**{"notification_id": uuid4(), **STANDUP, **given})


def message(*items: Item, to: str = "ben@example.org", reader: Reader | None = None, **given: Any) -> Message:
    """`message(item())`: to Ben, who reads English in Berlin."""
    usual = {
        "id": uuid4(),
        "purpose": Purpose.NOTIFICATION,
        "person_id": uuid4(),
        "channel_id": uuid4(),
        "address": {"email": to},
        "reader": reader or Reader("en", "Europe/Berlin"),
        "name": "Ben",
        "items": items,
        "created_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
    }
    return Message(**{**usual, **given})
