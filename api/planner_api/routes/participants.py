"""Who is in an event: listed, added, taken out, and their own answers."""

from typing import Any
from uuid import UUID

from fastapi import Response
from sqlalchemy import text

from planner_api.dependencies import CallerDep, ConnectionDep
from planner_api.errors import forbidden, not_found, problems
from planner_api.events import people, reading, waitlist
from planner_api.events.dependencies import LOCATION, AuthorDep
from planner_api.events.problems import cancelled
from planner_api.pagination import CursorQuery, LimitQuery, bigint, decode, encode
from planner_api.routing import make_router, max_body
from planner_api.schemas.participants import Added, Answer, ParticipantList, ParticipantOut, Participants

router = make_router("participants")

MAX_BODY = 5_000_000
"""Ten thousand with long names."""


PARTICIPANTS = text("""
    SELECT id, email, name, role, response, responded_at, since_change, place.waiting,
           CASE WHEN :organizes OR person_id = :person THEN comment END AS comment
      FROM participants LEFT JOIN (
          SELECT id, row_number() OVER (ORDER BY waiting_since) AS waiting FROM participants
           WHERE event_id = :event AND until_change IS NULL AND waiting_since IS NOT NULL
      ) place USING (id)
     WHERE event_id = :event AND until_change IS NULL AND (since_change, id) > (:after_change, :after_id)
     ORDER BY since_change, id LIMIT :limit
""")
FIRST = (0, UUID(int=0))


@router.get("/events/{event_id}/participants", responses=problems(401, 403, 404))
async def list_participants(
    event_id: UUID, caller: CallerDep, connection: ConnectionDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> ParticipantList:
    """Who is in the event, in the order in which they came to be."""
    access = await reading.access(connection, event_id, caller)
    after_change, after_id = decode(cursor, bigint, UUID) if cursor is not None else FIRST
    values: dict[str, Any] = {
        "event": event_id,
        "organizes": access["organizer_id"] == caller.account_id,
        "person": caller.person_id,
        "after_change": after_change,
        "after_id": after_id,
    }
    rows = (await connection.execute(PARTICIPANTS, {**values, "limit": limit + 1})).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return ParticipantList(
        items=[shown(row) for row in rows[:limit]],
        next_cursor=encode(last.since_change, str(last.id)) if last else None,
    )


def shown(row: Any) -> ParticipantOut:
    return ParticipantOut(
        id=row.id,
        email=row.email,
        name=row.name,
        role=row.role,
        response=row.response,
        comment=row.comment,
        responded_at=row.responded_at,
        waiting=row.waiting,
    )


@router.post(
    "/events/{event_id}/participants",
    response_model=Added,
    status_code=201,
    responses={
        201: {"headers": LOCATION},
        200: {"description": "All of them were in the event already.", "model": Added},
        **problems(400, 401, 403, 404, 409, 413, 415),
    },
)
@max_body(MAX_BODY)
async def add_participants(
    event_id: UUID,
    body: Participants,
    caller: CallerDep,
    connection: ConnectionDep,
    author: AuthorDep,
    response: Response,
) -> Added:
    """Add people: one change, however many. Who is in the event already is neither added nor told again."""
    new = await body.people()
    row = await reading.lock_as_organizer(connection, event_id, caller)
    if row["status"] == "cancelled":
        raise cancelled()
    added = (await people.invite(connection, {event_id: new}, author)).get(event_id, 0)
    response.status_code = 201 if added else 200
    if added:
        response.headers["Location"] = f"/api/v1/events/{event_id}/participants"
    return Added(added=added, unchanged=len(new) - added, revision=row["revision"] + (added > 0))


THERE = text("SELECT * FROM participants WHERE id = :participant AND event_id = :event AND until_change IS NULL")


@router.delete(
    "/events/{event_id}/participants/{participant_id}", status_code=204, responses=problems(401, 403, 404, 409)
)
async def remove_participant(
    event_id: UUID, participant_id: UUID, caller: CallerDep, connection: ConnectionDep, author: AuthorDep
) -> None:
    """Take somebody out. They are told; the others are not."""
    row = await reading.lock_as_organizer(connection, event_id, caller)
    if row["status"] == "cancelled":
        raise cancelled()
    found = (await connection.execute(THERE, {"event": event_id, "participant": participant_id})).one_or_none()
    if found is None:
        raise not_found("participant")
    await people.remove(connection, event_id, participant_id, found.name or found.email, author)
    if found.response == "accepted" and row["capacity"] is not None:
        await waitlist.promote(connection, event_id, row["capacity"], author)


@router.put("/events/{event_id}/response", responses=problems(400, 401, 403, 404, 409, 413, 415))
async def respond(
    event_id: UUID, body: Answer, caller: CallerDep, connection: ConnectionDep, author: AuthorDep
) -> ParticipantOut:
    """My own answer; the organizer is told. The same answer again changes nothing.

    Who accepts when the event is full waits for a place: `tentative`, with their place in the waitlist as `waiting`.
    Whoever has waited longest has the next place that becomes free, and is told.
    """
    event = await reading.lock(connection, event_id, caller)
    mine = await waitlist.answer(connection, event, caller.person_id, body.response, body.comment, author)
    if mine is None and event["organizer_id"] != caller.account_id:
        raise not_found("event")  # taken out while this waited for the lock
    if mine is None:
        raise forbidden("You organize this event but do not take part in it: add yourself first.")
    return shown(mine)
