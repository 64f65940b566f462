"""From the facts of deliveries to the message that a channel sends."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from planner_common.deliveries import Purpose
from planner_common.sealing import Sealer
from planner_common.summaries import Reader

from planner_worker.channels import Item, Message
from planner_worker.delivery.facts import Facts


def address(facts: Facts, sealer: Sealer) -> Mapping[str, Any]:
    """Where a delivery goes. Raises UnsealedError when no key opens the channel's address."""
    return sealer.open(facts.address) if facts.address is not None else {"email": facts.email}


def message(first: Facts, others: Sequence[Facts], address: Mapping[str, Any]) -> Message:
    """The message of a delivery, or of a digest."""
    together = sorted((first, *others), key=lambda facts: facts.change_id or 0)
    return Message(
        id=first.id,
        purpose=Purpose(first.purpose),
        person_id=first.person_id,
        channel_id=first.channel_id,
        address=address,
        reader=Reader(first.locale, first.time_zone),
        name=first.name,
        items=tuple(map(item, together)) if first.purpose == Purpose.NOTIFICATION else (),
        code=address.get("code") if first.purpose == Purpose.CODE else None,
        created_at=first.created_at,
    )


NOT_TOLD = {"participants", "removed"}
"""Who else was added or taken out is not the reader's business."""


def item(facts: Facts) -> Item:
    """What a delivery tells. Its change and event are there: it is no code and no test."""
    known = cast(Any, facts)
    return Item(
        notification_id=known.notification_id,
        change_id=known.change_id,
        kind=known.kind,
        revision=known.revision,
        actor=known.actor_name,
        diff={field: values for field, values in known.diff.items() if field not in NOT_TOLD},
        event_id=known.event_id,
        event_revision=known.event_revision,
        uid=known.uid,
        title=known.title,
        description=known.description,
        location=known.location,
        url=known.url,
        status=known.status,
        all_day=known.all_day,
        starts_at=known.starts_at,
        ends_at=known.ends_at,
        organizer_name=known.organizer_name,
        organizer_email=known.organizer_email,
        at=known.at,
    )
