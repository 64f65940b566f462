"""Events: made, read, listed, changed, cancelled, restored, deleted."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse
from planner_common.changes import Kind
from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import connect
from planner_api.dependencies import CacheDep, Caller, CallerDep, ConnectionDep, StatementDep
from planner_api.errors import invalid, problems
from planner_api.events import reading, waitlist, writing
from planner_api.events.dependencies import ETAG, LOCATION, AuthorDep, IfMatch, IfNoneMatch
from planner_api.events.listing import listed
from planner_api.events.people import distinct
from planner_api.events.problems import cancelled, full
from planner_api.events.recording import Author
from planner_api.events.repeating import checked, following
from planner_api.events.state import State, difference
from planner_api.events.writing import NewEvent, Update
from planner_api.pagination import CursorQuery, LimitQuery, aware, decode, encode
from planner_api.routing import make_router
from planner_api.schemas.events import (
    EventChanges,
    EventIn,
    EventList,
    EventOut,
    Status,
)
from planner_api.schemas.times import InstantIn

router = make_router("events")

WITH_ETAG: dict[int | str, dict[str, Any]] = {200: {"headers": ETAG}}

BODY = (400, 401, 403, 413, 415)


@router.post("/events", status_code=201, responses={201: {"headers": ETAG | LOCATION}, **problems(*BODY)})
async def create_event(body: EventIn, connection: StatementDep, author: AuthorDep, response: Response) -> EventOut:
    """Make an event; those in it are invited."""
    people = distinct(participant.person() for participant in body.participants)
    [event] = await writing.create(connection, [NewEvent(checked(body.state()), people)], author)
    response.headers["Location"] = f"/api/v1/events/{event['id']}"
    response.headers["ETag"] = reading.etag(event["revision"])
    takes_part = any(person.email == event["organizer_email"] for person in people)
    answers = {"my_response": "needs_action" if takes_part else None, "needs_action": len(people)}
    return EventOut.model_validate(reading.shown({**event, **dict.fromkeys(reading.COUNTED, 0), **answers}))


@router.get("/events", responses=problems(401, 403))
async def list_events(
    caller: CallerDep,
    connection: ConnectionDep,
    begin: Annotated[InstantIn | None, Query(alias="from", description="Only what ends after this instant.")] = None,
    end: Annotated[InstantIn | None, Query(alias="to", description="Only what starts before this instant.")] = None,
    q: Annotated[
        str | None, Query(max_length=200, description="Only what has this in title, description or location.")
    ] = None,
    status: Status | None = None,
    role: Literal["organizer", "participant"] | None = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> EventList:
    """My events, by start: those that I organize and those that I take part in."""
    after = decode(cursor, aware, UUID) if cursor is not None else None
    rows = await listed(
        connection, caller, limit=limit + 1, role=role, after=after, words=q, begin=begin, end=end, status=status
    )
    last = rows[limit - 1] if len(rows) > limit else None
    return EventList(
        items=[EventOut.model_validate(reading.shown(row)) for row in rows[:limit]],
        next_cursor=encode(last["starts_at"].isoformat(), str(last["id"])) if last else None,
    )


@router.get(
    "/events/{event_id}",
    response_model=EventOut,
    responses={304: {"description": "The caller has this revision.", "headers": ETAG}}
    | WITH_ETAG
    | problems(401, 403, 404),
)
async def show_event(
    event_id: UUID, request: Request, caller: CallerDep, cache: CacheDep, if_none_match: IfNoneMatch = None
) -> Response:
    """An event. Its ETag is its revision."""
    engine = request.app.state.autocommit
    async with connect(engine) as connection:
        access = await reading.access(connection, event_id, caller)
    headers = {"ETag": reading.etag(access["revision"])}
    if if_none_match is not None and reading.matches(if_none_match, access["revision"], weak=True):
        return Response(status_code=304, headers=headers)
    # With no connection held meanwhile.
    cached = await cache.get(cache_key(event_id, access["revision"], access["updated_at"]))
    if cached is not None:
        # What a revision says nothing about is never taken from the cache: who asks, and what the organizer is called.
        organizer = {
            "id": str(access["organizer_id"]),
            "name": access["organizer_name"],
            "email": access["organizer_email"],
        }
        return JSONResponse(
            {**from_json(cached), "organizer": organizer, "my_response": access["my_response"]}, headers=headers
        )
    async with connect(engine) as connection:
        event = await current(connection, event_id, caller)
    content = event.model_dump_json().encode()
    # The event may have been changed since the first statement: the key is of what was read.
    await cache.put(cache_key(event_id, event.revision, event.updated_at), content)
    return Response(content, headers={"ETag": reading.etag(event.revision)}, media_type="application/json")


def cache_key(event_id: UUID, revision: int, updated_at: datetime) -> str:
    """Of the event as it is. Its revision alone would not do: in a database that was restored from a backup it comes
    once more, with something else."""
    return f"event:{event_id}:{revision}:{updated_at.timestamp()}"


async def current(connection: AsyncConnection, event_id: UUID, caller: Caller) -> EventOut:
    return EventOut.model_validate(reading.shown(await reading.one(connection, event_id, caller)))


async def changed(connection: AsyncConnection, event_id: UUID, caller: Caller, response: Response) -> EventOut:
    """The event as it is after a change, for the answer."""
    event = await current(connection, event_id, caller)
    response.headers["ETag"] = reading.etag(event.revision)
    return event


@router.patch("/events/{event_id}", responses=WITH_ETAG | problems(*BODY, 404, 409, 412, 428))
async def change_event(
    event_id: UUID,
    body: EventChanges,
    caller: CallerDep,
    connection: ConnectionDep,
    author: AuthorDep,
    response: Response,
    if_match: IfMatch = None,
) -> EventOut:
    """Change what is given; the rest stays. What changes nothing raises no revision, and nobody is told."""
    row = await reading.lock_as_organizer(connection, event_id, caller, if_match, must_match=True)
    if row["status"] == "cancelled":
        raise cancelled()
    old = State.of(row)
    fields = body.applied_to(old)
    new = replace(old, **fields)
    if {"start", "end"} & fields.keys() and (fault := new.fault()) is not None:
        raise invalid("/end" if "end" in fields else "/start", fault)
    if "start" in fields and "recurrence" not in fields and old.recurrence:
        new = following(old, new)
    if {"start", "end", "recurrence"} & fields.keys():
        new = checked(new)
    if diff := difference(old, new):
        if new.capacity is not None and "capacity" in diff:
            accepted = await reading.accepted(connection, event_id)
            if accepted > new.capacity:
                raise full(new.capacity, accepted)
        kind = Kind.RESCHEDULE if {"start", "end"} & diff.keys() else Kind.UPDATE
        await writing.update(connection, [Update(event_id, kind, new, diff)], author)
        if "capacity" in diff:
            await waitlist.promote(connection, event_id, new.capacity, author)
    return await changed(connection, event_id, caller, response)


@router.delete("/events/{event_id}", status_code=204, responses=problems(401, 403, 404, 412, 428))
async def delete_event(
    event_id: UUID, caller: CallerDep, connection: ConnectionDep, author: AuthorDep, if_match: IfMatch = None
) -> None:
    """Delete an event. If it is still to come, it is cancelled first, so that those in it know."""
    row = await reading.lock_as_organizer(connection, event_id, caller, if_match, must_match=True)
    state = State.of(row)
    if state.status != "cancelled" and state.over_at > datetime.now(UTC):
        state = await set_status(connection, event_id, state, "cancelled", author)
    nobody = replace(author, notify=False)
    await writing.update(connection, [Update(event_id, Kind.DELETION, state, {})], nobody)


async def set_status(connection: AsyncConnection, event_id: UUID, state: State, status: str, author: Author) -> State:
    new = replace(state, status=status)
    kind = Kind.CANCELLATION if status == "cancelled" else Kind.RESTORATION
    await writing.update(connection, [Update(event_id, kind, new, difference(state, new))], author)
    return new


@router.post("/events/{event_id}/cancel", responses=WITH_ETAG | problems(401, 403, 404, 412))
async def cancel_event(
    event_id: UUID,
    caller: CallerDep,
    connection: ConnectionDep,
    author: AuthorDep,
    response: Response,
    if_match: IfMatch = None,
) -> EventOut:
    """Cancel an event. To cancel it again changes nothing."""
    row = await reading.lock_as_organizer(connection, event_id, caller, if_match)
    if row["status"] != "cancelled":
        await set_status(connection, event_id, State.of(row), "cancelled", author)
    return await changed(connection, event_id, caller, response)


@router.post("/events/{event_id}/restore", responses=WITH_ETAG | problems(401, 403, 404, 412))
async def restore_event(
    event_id: UUID,
    caller: CallerDep,
    connection: ConnectionDep,
    author: AuthorDep,
    response: Response,
    if_match: IfMatch = None,
) -> EventOut:
    """Let a cancelled event take place after all, as confirmed or tentative as it was. Else it changes nothing."""
    row = await reading.lock_as_organizer(connection, event_id, caller, if_match)
    if row["status"] == "cancelled":
        before = await reading.status_before_cancellation(connection, event_id)
        await set_status(connection, event_id, State.of(row), before, author)
    return await changed(connection, event_id, caller, response)
