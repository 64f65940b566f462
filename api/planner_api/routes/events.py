"""Events: made, read, listed, changed, cancelled, restored, deleted."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from planner_common import metrics
from planner_common.changes import Kind
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import Row, connect
from planner_api.dependencies import SHARED, Caller, CallerDep, ConnectionDep, transaction_of
from planner_api.direct import Json, directly
from planner_api.errors import invalid, not_found, problems
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

GATHERED_PEOPLE = 100
"""An event with more of them is written by a statement of its own, which others need not wait for."""
BODY = (400, 401, 403, 413, 415)


@router.post(
    "/events",
    status_code=201,
    response_model=EventOut,
    responses={201: {"headers": ETAG | LOCATION}, **problems(*BODY)},
)
async def create_event(body: EventIn, request: Request, author: AuthorDep) -> Response:
    """Make an event; those in it are invited."""
    people = distinct(participant.person() for participant in body.participants)
    event = await created(request, NewEvent(checked(body.state()), people), author)
    takes_part = any(person.email == event["organizer_email"] for person in people)
    answers = {"my_response": "needs_action" if takes_part else None, "needs_action": len(people)}
    shown = reading.shown({**event, **dict.fromkeys(reading.COUNTED, 0), **answers})
    # Not validated: it comes from our own tables.
    return Json(to_json(shown), reading.etag(event["revision"]), f"/api/v1/events/{event['id']}")


async def created(request: Request, event: NewEvent, author: Author) -> Row:
    """Write an event: with others that come at the same time, or in the transaction that the request is to be in."""
    if SHARED in request.scope:
        async with transaction_of(request) as connection:
            [row] = await writing.create(connection, [event], author)
        return row
    state = request.app.state
    if len(event.people) > GATHERED_PEOPLE:
        async with connect(state.autocommit) as connection:
            [row] = await writing.create(connection, [event], author)
    else:
        row = await state.together.create((event, author))
        author.made.append((row["change_id"], row["id"]))
    state.waker.wake()
    return row


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


async def answer(request: Request, caller: Caller, event_id: str) -> Response:
    return await show_event(UUID(event_id), request, caller, request.headers.get("if-none-match"))


@router.get(
    "/events/{event_id}",
    response_model=EventOut,
    responses={304: {"description": "The caller has this revision.", "headers": ETAG}}
    | WITH_ETAG
    | problems(401, 403, 404),
)
@directly(answer)
async def show_event(
    event_id: UUID, request: Request, caller: CallerDep, if_none_match: IfNoneMatch = None
) -> Response:
    """An event. Its ETag is its revision."""
    state = request.app.state
    access = await state.together.access((event_id, caller))
    revision = access["revision"]
    if revision is None:
        raise not_found("event")
    if if_none_match is not None and reading.matches(if_none_match, revision, weak=True):
        return Response(status_code=304, headers={"ETag": reading.etag(revision)})
    key = event_id, caller.person_id
    content = state.near.get(key, access)
    if content is not None:
        NEAR.inc()
    elif (cached := await state.cache.get(cache_key(event_id, revision, access["updated_at"]))) is not None:
        content = with_own(cached, access)
        state.near.put(key, access, content)
    else:
        # The event may have been changed since the first statement: from here on all is of what is read now.
        async with connect(state.autocommit) as connection:
            row = await reading.one(connection, event_id, caller)
        event = EventOut.model_validate(reading.shown(row))
        revision = event.revision
        shared = event.model_dump_json(exclude=OWN).encode()
        await state.cache.put(cache_key(event_id, revision, event.updated_at), shared)
        content = with_own(shared, row)
    return Json(content, reading.etag(revision))


NEAR = metrics.cache_reads.labels("near")
OWN = {"organizer", "my_response"}
"""What a revision says nothing about: what the organizer is called, and who asks. It is never taken from the cache."""


def with_own(content: bytes, row: Row) -> bytes:
    """The answer: an event as the cache has it, and from a row the rest."""
    organizer = {"id": row["organizer_id"], "name": row["organizer_name"], "email": row["organizer_email"]}
    own = to_json({"organizer": organizer, "my_response": row["my_response"]})
    return own[:-1] + b"," + content[1:]


def cache_key(event_id: UUID, revision: int, updated_at: datetime) -> str:
    """Of the event as it is. Its revision alone would not do: in a database that was restored from a backup it comes
    once more, with something else. 2: the form of what is kept."""
    return f"event:2:{event_id}:{revision}:{updated_at.timestamp()}"


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
