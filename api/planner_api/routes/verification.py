"""Showing that a channel is mine: a code goes there, and whoever reads it tells it to Planner."""

import hmac
from uuid import UUID

from planner_common.deliveries import Purpose
from planner_common.models import channels
from sqlalchemy import func, select, update

from planner_api.channels import addresses, kinds, reading, sending
from planner_api.channels.reading import conflict
from planner_api.dependencies import AccountCallerDep, ConnectionDep, SealerDep
from planner_api.errors import invalid, problems
from planner_api.limits import default_rate, limiter
from planner_api.routing import make_router
from planner_api.schemas.channels import ChannelOut, Code, Queued

router = make_router("channels")

TRIES_PER_CODE = 5
CODES_PER_HOUR = "10/hour"
"""Of one account: at five tries each it takes years until a guess is likely to be right, and the other side has a
message for each code."""


@router.post("/me/channels/{channel_id}/code", status_code=202, responses=problems(401, 403, 404, 409))
@limiter.limit(default_rate)
@limiter.limit(CODES_PER_HOUR)
async def send_code(channel_id: UUID, caller: AccountCallerDep, connection: ConnectionDep, sealer: SealerDep) -> Queued:
    """Have a new code sent. The one before is void. A channel that was disabled meanwhile is tried again."""
    row = await reading.lock(connection, caller, channel_id)
    if row["verified_at"] is not None:
        raise conflict("verified", "The channel is verified", "It needs no code any more.")
    values = {
        "address": sealer.seal(sealer.open(row["address"]) | {"code": addresses.new_code()}),
        "code_tries": 0,
        "code_expires_at": func.now() + sending.CODE_VALID,
        "disabled_at": None,
        "disabled_reason": None,
    }
    await connection.execute(update(channels).where(channels.c.id == channel_id).values(values))
    return Queued(id=await sending.queue(connection, row, Purpose.CODE))


@router.post("/me/channels/{channel_id}/verify", responses=problems(400, 401, 403, 404, 409, 413, 415))
async def verify(
    channel_id: UUID, body: Code, caller: AccountCallerDep, connection: ConnectionDep, sealer: SealerDep
) -> ChannelOut:
    """Tell the code that came. From then on the channel takes what it takes by default, until the preferences say
    otherwise. A code is good for half an hour and for five tries."""
    await kinds.lock(connection, caller.person_id)
    row = await reading.lock(connection, caller, channel_id)
    if row["verified_at"] is not None:
        return reading.shown(row, sealer)
    address = sealer.open(row["address"])
    expired = row["code_expires_at"] <= await connection.scalar(select(func.now()))
    if expired or row["code_tries"] >= TRIES_PER_CODE:
        why = "is older than half an hour" if expired else f"was guessed at {TRIES_PER_CODE} times"
        raise conflict("code-expired", "The code is void", f"The code {why}: have a new one sent (POST …/code).")
    this = update(channels).where(channels.c.id == channel_id)
    if not hmac.compare_digest(address.pop("code"), body.code):
        tries = row["code_tries"] + 1
        await connection.execute(this.values(code_tries=tries))
        await connection.commit()  # although the answer is 422
        raise invalid("/code", f"is not the code that was sent; tries left: {TRIES_PER_CODE - tries}")
    values = {
        "address": sealer.seal(address),
        "code_tries": 0,
        "code_expires_at": None,
        "verified_at": func.now(),
    }
    verified = (await connection.execute(this.values(values).returning(channels))).mappings().one()
    await kinds.open_route(connection, caller.person_id, channel_id, row["type"])
    return reading.shown(verified, sealer)
