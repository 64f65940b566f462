"""A person's own channels, read and shown. To everyone else they are not there (I7)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from planner_common.models import channels
from planner_common.sealing import Sealer
from sqlalchemy import ColumnElement, RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.channels.addresses import hint
from planner_api.dependencies import Caller
from planner_api.errors import Problem, not_found
from planner_api.schemas.channels import ChannelOut, Disabled


def owned(caller: Caller) -> tuple[ColumnElement[bool], ...]:
    return channels.c.person_id == caller.person_id, channels.c.ended_at.is_(None)


def mine(caller: Caller, channel_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return channels.c.id == channel_id, *owned(caller)


async def see(connection: AsyncConnection, caller: Caller, channel_id: UUID) -> RowMapping:
    """A channel of the caller's. 404 for any other."""
    found = (await connection.execute(select(channels).where(*mine(caller, channel_id)))).mappings().one_or_none()
    if found is None:
        raise not_found("channel")
    return found


async def lock(connection: AsyncConnection, caller: Caller, channel_id: UUID) -> RowMapping:
    """A channel of the caller's, kept from changing until the transaction ends. 404 for any other."""
    wanted = select(channels).where(*mine(caller, channel_id)).with_for_update()
    found = (await connection.execute(wanted)).mappings().one_or_none()
    if found is None:
        raise not_found("channel")
    return found


async def listed(connection: AsyncConnection, caller: Caller, limit: int, after: UUID | None) -> Sequence[RowMapping]:
    """Channels of the caller's, oldest first."""
    wanted = select(channels).where(*owned(caller))
    if after is not None:
        wanted = wanted.where(channels.c.id > after)
    return (await connection.execute(wanted.order_by(channels.c.id).limit(limit))).mappings().all()


def shown(row: RowMapping, sealer: Sealer) -> ChannelOut:
    """A row, as the API shows it: without its address."""
    disabled = Disabled(at=row["disabled_at"], reason=row["disabled_reason"]) if row["disabled_at"] else None
    values: dict[str, Any] = {name: row[name] for name in ("id", "type", "name", "digest", "created_at")}
    return ChannelOut(
        **values,
        hint=hint(row["type"], row["address"], sealer),
        verified=row["verified_at"] is not None,
        paused=row["paused_at"] is not None,
        disabled=disabled,
    )


def conflict(slug: str, title: str, detail: str) -> Problem:
    """409: the state of the channel does not allow it."""
    return Problem(409, slug, title, detail)
