"""From the facts of deliveries to the message that a channel sends."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

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


SHARED = {field.name for field in fields(Item)} & {field.name for field in fields(Facts)} - {"actor", "diff"}


def item(facts: Facts) -> Item:
    """What a delivery tells. Its change and event are there: it is no code and no test."""
    diff = {name: values for name, values in (facts.diff or {}).items() if name not in NOT_TOLD}
    shared: dict[str, Any] = {name: getattr(facts, name) for name in SHARED}
    return Item(actor=facts.actor_name, diff=diff, **shared)
