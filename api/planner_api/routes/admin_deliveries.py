"""Deliveries, and above all dead ones, for admins."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from planner_common import replay
from planner_common.deliveries import ChannelType, Reason, State
from planner_common.replay import Wanted

from planner_api.dependencies import AdminDep, ConnectionDep
from planner_api.errors import Problem, not_found, problems
from planner_api.pagination import CursorQuery, LimitQuery, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.admin import (
    AdminDeliveries,
    AdminDelivery,
    AdminDeliveryDetail,
    Replayed,
    ReplayedSome,
    ReplayWanted,
)
from planner_api.schemas.common import EmailAddress
from planner_api.schemas.times import InstantIn

router = make_router("admin", prefix="/admin/deliveries")


@router.get("", responses=problems(401, 403))
async def list_all_deliveries(
    admin: AdminDep,  # noqa: ARG001
    connection: ConnectionDep,
    state: State = State.DEAD,
    type: ChannelType | None = None,  # noqa: A002
    reason: Reason | None = None,
    event: UUID | None = None,
    person: Annotated[EmailAddress | None, Query(description="The address that somebody is known by.")] = None,
    since: Annotated[
        InstantIn | None, Query(description="Finished (made, if unfinished) at this time or later.")
    ] = None,
    until: Annotated[InstantIn | None, Query(description="Before this time.")] = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> AdminDeliveries:
    """Deliveries of everybody, the newest first; dead ones unless another state is asked for."""
    wanted = Wanted(state=state, type=type, reason=reason, event=event, person=person, since=since, until=until)
    before = decode(cursor, UUID)[0] if cursor is not None else None
    rows = (await connection.execute(*replay.listing(wanted, limit + 1, before))).mappings().all()
    return AdminDeliveries(
        items=[AdminDelivery.model_validate(replay.plain(row)) for row in rows[:limit]],
        next_cursor=encode(str(rows[limit - 1]["id"])) if len(rows) > limit else None,
    )


@router.get("/{delivery_id}", responses=problems(401, 403, 404))
async def show_delivery(
    delivery_id: UUID,
    admin: AdminDep,  # noqa: ARG001
    connection: ConnectionDep,
) -> AdminDeliveryDetail:
    """One, with each of its tries."""
    row = (await connection.execute(replay.ONE, {"id": delivery_id})).mappings().one_or_none()
    if row is None:
        raise not_found("delivery")
    attempts = (await connection.execute(replay.ATTEMPTS, {"id": delivery_id})).mappings().all()
    return AdminDeliveryDetail.model_validate(replay.plain(row) | {"attempts": [dict(each) for each in attempts]})


@router.post("/{delivery_id}/replay", status_code=202, responses=problems(401, 403, 404, 409))
async def replay_delivery(delivery_id: UUID, admin: AdminDep, connection: ConnectionDep) -> Replayed:
    """Give a dead delivery another try, under the id that it has. What no longer matters by then is not sent."""
    replayed = (await connection.execute(*replay.replaying(delivery_id, admin.person_id))).all()
    if replayed:
        return Replayed(replayed=len(replayed))
    state = await connection.scalar(replay.STATE, {"id": delivery_id})
    if state is None:
        raise not_found("delivery")
    raise Problem(409, "not-dead", "The delivery is not dead", f"{delivery_id}: {replay.not_dead(state)}.")


@router.post("/replay", status_code=202, responses=problems(400, 401, 403, 413, 415))
async def replay_deliveries(body: ReplayWanted, admin: AdminDep, connection: ConnectionDep) -> ReplayedSome:
    """Give many dead deliveries another try, the oldest first. They wait behind everybody else's."""
    row = (await connection.execute(*replay.replaying_some(body.wanted(), admin.person_id))).one()
    return ReplayedSome(replayed=row.replayed, more=row.more)
