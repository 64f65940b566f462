"""My channels: the ways by which notifications reach me beside e-mail to the address of my account."""

from typing import Any
from uuid import UUID

from fastapi import Response
from planner_common.deliveries import Purpose
from planner_common.models import channels
from sqlalchemy import func, insert, select, update

from planner_api.channels import addresses, kinds, reading, sending
from planner_api.channels.reading import conflict
from planner_api.dependencies import AccountCallerDep, CallerDep, ConnectionDep, SealerDep, SettingsDep
from planner_api.errors import problems
from planner_api.events.dependencies import LOCATION
from planner_api.limits import default_rate, limiter
from planner_api.pagination import CursorQuery, LimitQuery, decode, encode
from planner_api.routing import make_router, shows_secret
from planner_api.schemas.channels import (
    ChannelChanges,
    ChannelDeliveries,
    ChannelIn,
    ChannelList,
    ChannelOut,
    NewChannel,
    Queued,
    Secret,
)

router = make_router("channels")

CHANNELS_PER_PERSON = 20
NEW_PER_HOUR = "20/hour"
"""Channels that one account may make: each sends a code to an address that may be a stranger's."""
TESTS_PER_HOUR = "60/hour"
NEWEST = UUID(int=2**128 - 1)


@router.post(
    "/me/channels", status_code=201, responses={201: {"headers": LOCATION}, **problems(400, 401, 403, 409, 413, 415)}
)
@limiter.limit(default_rate)
@limiter.limit(NEW_PER_HOUR)
@shows_secret
async def create_channel(
    body: ChannelIn,
    caller: AccountCallerDep,
    connection: ConnectionDep,
    settings: SettingsDep,
    sealer: SealerDep,
    response: Response,
) -> NewChannel:
    """Add a channel. A code is sent there; nothing else is until `verify` has been told it.

    The address is kept sealed and is not shown again, nor is the secret of a webhook (Standard Webhooks), so no
    `Idempotency-Key` repeats this answer.
    """
    address = addresses.of_body(body, caller.person_id, settings)
    await kinds.lock(connection, caller.person_id)
    counted = select(func.count()).select_from(channels).where(*reading.owned(caller))
    number = (await connection.execute(counted)).scalar_one()
    if number >= CHANNELS_PER_PERSON:
        raise conflict(
            "too-many-channels", "Too many channels", f"You have {number} channels: delete one that you do not need."
        )
    values = {
        "person_id": caller.person_id,
        "type": body.type,
        "name": body.name,
        "digest": body.digest,
        "address": sealer.seal(address | {"code": addresses.new_code()}),
        "code_expires_at": func.now() + sending.CODE_VALID,
    }
    row = (await connection.execute(insert(channels).values(values).returning(channels))).mappings().one()
    await sending.queue(connection, row, Purpose.CODE)
    response.headers["Location"] = f"/api/v1/me/channels/{row['id']}"
    secret = address["secrets"][0] if "secrets" in address else None
    return NewChannel(**reading.shown(row, sealer).model_dump(), secret=secret)


@router.get("/me/channels", responses=problems(401, 403))
async def list_channels(
    caller: CallerDep,
    connection: ConnectionDep,
    sealer: SealerDep,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> ChannelList:
    """My channels, oldest first, without their addresses. E-mail to the address of my account is not among them."""
    after = decode(cursor, UUID)[0] if cursor is not None else None
    rows = await reading.listed(connection, caller, limit + 1, after)
    return ChannelList(
        items=[reading.shown(row, sealer) for row in rows[:limit]],
        next_cursor=encode(str(rows[limit - 1]["id"])) if len(rows) > limit else None,
    )


@router.get("/me/channels/{channel_id}", responses=problems(401, 403, 404))
async def show_channel(channel_id: UUID, caller: CallerDep, connection: ConnectionDep, sealer: SealerDep) -> ChannelOut:
    return reading.shown(await reading.see(connection, caller, channel_id), sealer)


@router.patch("/me/channels/{channel_id}", responses=problems(400, 401, 403, 404, 413, 415))
async def change_channel(
    channel_id: UUID,
    body: ChannelChanges,
    caller: AccountCallerDep,
    connection: ConnectionDep,
    sealer: SealerDep,
) -> ChannelOut:
    """Change what is given; the rest stays. Which kinds go there is a matter of the preferences."""
    values: dict[str, Any] = body.model_dump(include={"name", "digest"}, exclude_unset=True)
    if "paused" in body.model_fields_set:
        values["paused_at"] = func.coalesce(channels.c.paused_at, func.now()) if body.paused else None
    if "enabled" in body.model_fields_set:
        values |= {"disabled_at": None, "disabled_reason": None}
    row = await reading.lock(connection, caller, channel_id)
    if values:
        changed = update(channels).where(channels.c.id == channel_id).values(values).returning(channels)
        row = (await connection.execute(changed)).mappings().one()
    return reading.shown(row, sealer)


@router.delete("/me/channels/{channel_id}", status_code=204, responses=problems(401, 403, 404))
async def delete_channel(channel_id: UUID, caller: AccountCallerDep, connection: ConnectionDep) -> None:
    """End a channel and forget its address. What still waits for it is not sent."""
    await kinds.lock(connection, caller.person_id)
    await reading.lock(connection, caller, channel_id)
    ended = {"ended_at": func.now(), "address": b"", "code_expires_at": None}
    await connection.execute(update(channels).where(channels.c.id == channel_id).values(ended))
    await kinds.end_route(connection, channel_id)


@router.post("/me/channels/{channel_id}/secret", responses=problems(401, 403, 404, 409))
@shows_secret
async def rotate_secret(
    channel_id: UUID, caller: AccountCallerDep, connection: ConnectionDep, sealer: SealerDep
) -> Secret:
    """Give a webhook a new secret. Until the next rotation its messages are signed with the one before as well.

    So the receiver can change over at leisure, and drops the old one by itself; here two rotations are rid of it.
    """
    row = await reading.lock(connection, caller, channel_id)
    if row["type"] != "webhook":
        raise conflict("no-webhook", "The channel is no webhook", "Only webhooks have secrets.")
    address = addresses.with_new_secret(sealer.open(row["address"]))
    resealed = update(channels).where(channels.c.id == channel_id).values(address=sealer.seal(address))
    await connection.execute(resealed)
    return Secret(secret=address["secrets"][0])


@router.post("/me/channels/{channel_id}/test", status_code=202, responses=problems(401, 403, 404, 409))
@limiter.limit(default_rate)
@limiter.limit(TESTS_PER_HOUR)
async def test_channel(channel_id: UUID, caller: AccountCallerDep, connection: ConnectionDep) -> Queued:
    """Have a test message sent. What becomes of it, the channel's deliveries show."""
    row = await reading.lock(connection, caller, channel_id)
    if row["verified_at"] is None:
        raise conflict("not-verified", "The channel is not verified", "Only its code goes there until it is.")
    if row["disabled_at"] is not None:
        raise conflict("disabled", "The channel is disabled", 'Bring it back first: PATCH it with {"enabled": true}.')
    if row["paused_at"] is not None:
        raise conflict("paused", "The channel is paused", 'Let it go on first: PATCH it with {"paused": false}.')
    return Queued(id=await sending.queue(connection, row, Purpose.TEST))


@router.get("/me/channels/{channel_id}/deliveries", responses=problems(401, 403, 404))
async def list_channel_deliveries(
    channel_id: UUID,
    caller: CallerDep,
    connection: ConnectionDep,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> ChannelDeliveries:
    """What was to go to a channel, newest first, each with its tries and the first 1,000 characters of the answers."""
    before = decode(cursor, UUID)[0] if cursor is not None else NEWEST
    await reading.see(connection, caller, channel_id)
    items = await sending.log(connection, channel_id, limit + 1, before)
    return ChannelDeliveries(
        items=items[:limit], next_cursor=encode(str(items[limit - 1].id)) if len(items) > limit else None
    )
