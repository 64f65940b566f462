"""Changes that the brake keeps back until an admin has looked at them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Path
from planner_common import held
from planner_common.held import Decision
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.dependencies import AdminDep, ConnectionDep
from planner_api.errors import Problem, not_found, problems
from planner_api.pagination import CursorQuery, LimitQuery, bigint, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.admin import EventNamed, HeldChange, HeldChanges
from planner_api.schemas.events import Organizer

router = make_router("admin", prefix="/admin/held")

ChangeId = Annotated[int, Path(ge=0, lt=2**63)]


@router.get("", responses=problems(401, 403))
async def list_held(
    admin: AdminDep,  # noqa: ARG001
    connection: ConnectionDep,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> HeldChanges:
    """What waits for a decision, the oldest first."""
    since, after = decode(cursor, datetime.fromisoformat, bigint) if cursor is not None else (None, 0)
    rows = (await connection.execute(held.LIST, {"since": since, "after": after, "limit": limit + 1})).all()
    return HeldChanges(
        items=[
            HeldChange(
                id=row.id,
                event=EventNamed(id=row.event_id, title=row.title),
                revision=row.revision,
                kind=row.kind,
                actor=Organizer(id=row.account_id, name=row.actor_name, email=row.actor_email)
                if row.account_id
                else None,
                people=row.people,
                at=row.at,
                held_at=row.held_at,
            )
            for row in rows[:limit]
        ],
        next_cursor=encode(rows[limit - 1].held_at.isoformat(), rows[limit - 1].id) if len(rows) > limit else None,
    )


@router.post("/{change_id}/approve", status_code=204, responses=problems(401, 403, 404, 409))
async def approve(change_id: ChangeId, admin: AdminDep, connection: ConnectionDep) -> None:
    """Let a change go: its people are told."""
    await decide(connection, change_id, Decision.APPROVED, admin.person_id)


@router.post("/{change_id}/reject", status_code=204, responses=problems(401, 403, 404, 409))
async def reject(change_id: ChangeId, admin: AdminDep, connection: ConnectionDep) -> None:
    """Keep a change from being told. It stays made, and its organizer sees in the history that nobody was told."""
    await decide(connection, change_id, Decision.REJECTED, admin.person_id)


async def decide(connection: AsyncConnection, change: int, decision: Decision, admin: UUID) -> None:
    row = (await connection.execute(held.DECIDE, held.deciding(change, decision, admin))).one_or_none()
    if row is None:
        raise not_found("change")
    if not row.decided:
        raise Problem(409, "not-held", "The change is not held", f"Change {change}: {held.undecidable(row)}.")
