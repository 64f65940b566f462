"""Why did, or didn't, I get this?"""

from uuid import UUID

from sqlalchemy import text

from planner_api import explaining
from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import not_found, problems
from planner_api.inbox import reader_of, showing, shown
from planner_api.routing import make_router
from planner_api.schemas.explanations import Explanation

router = make_router("notifications", prefix="/notifications")

ONE = text(showing("SELECT * FROM notifications WHERE person_id = :person AND id = :notification"))


@router.get("/{notification_id}/explain", responses=problems(401, 403, 404))
async def explain_notification(notification_id: UUID, caller: CallerDep, connection: ConnectionDep) -> Explanation:
    """Why one of my notifications came, which channels it took or did not take, and each try.

    What was set up at the time of the change decides which channels take it. Addresses are never shown.
    """
    values = {"person": caller.person_id, "notification": notification_id}
    row = (await connection.execute(ONE, values)).mappings().one_or_none()
    if row is None:
        raise not_found("notification")
    reader = reader_of(row)
    why, told, channels = await explaining.channels(connection, caller.person_id, notification_id, reader)
    return Explanation(notification=shown(row), why=why, told=told, channels=channels)
