"""Events as iCalendar: one, and all of somebody's at a secret address that programs subscribe to."""

import asyncio
import zlib
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response
from planner_common.models import calendars
from planner_common.presence import tzdata_version
from planner_common.tokens import CALENDAR_PREFIX, digest, new_secret
from sqlalchemy import insert

from planner_api.belongings import end, page_of
from planner_api.calendars import feeds, writing
from planner_api.calendars.exporting import Exported
from planner_api.database import connect
from planner_api.dependencies import AccountCallerDep, CacheDep, CallerDep, ConnectionDep, SettingsDep
from planner_api.errors import not_found, problems
from planner_api.events.dependencies import LOCATION, IfNoneMatch
from planner_api.events.reading import names
from planner_api.limits import address, default_rate, limiter
from planner_api.pagination import CursorQuery, LimitQuery
from planner_api.redis import Cache
from planner_api.routing import make_router, shows_secret
from planner_api.schemas.calendars import Calendar, CalendarRequest, Calendars, NewCalendar

router = make_router("calendars")
public = make_router("calendars")
"""Beside `/api/v1`, as what is meant for other programs than clients of the API."""

SHOWN = [calendars.c[name] for name in Calendar.model_fields]
MAX_CACHED = 1_000_000
"""Octets, compressed: a larger entry would keep Redis from answering others for too long."""
ETAG = {"ETag": {"description": "Another one, if anything in the file is.", "schema": {"type": "string"}}}


class CalendarFile(Response):
    media_type = "text/calendar"


FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "An iCalendar file (RFC 5545).", "headers": ETAG},
    304: {"description": "The caller has this file.", "headers": ETAG},
}
TokenPath = Annotated[str, Path(description="The secret of the address.", max_length=200)]


def headers_of(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache"}


@cache
def zones_known() -> str:
    return tzdata_version()


def tag_of(*what: str) -> str:
    """The ETag of a file that is made of this, and of what this process makes of it."""
    said = "\n".join((feeds.SHAPE, zones_known(), *what))
    return f'"{sha256(said.encode()).hexdigest()[:32]}"'


@router.get("/events/{event_id}.ics", response_class=CalendarFile, responses=FILE | problems(401, 403, 404))
async def show_event_as_file(
    event_id: UUID, caller: CallerDep, connection: ConnectionDep, if_none_match: IfNoneMatch = None
) -> Response:
    """An event as an iCalendar file, with what it was imported with, if I organize it."""
    version, events = await feeds.some(connection, caller.account_id, caller.person_id, [event_id])
    if not events:
        raise not_found("event")
    headers = headers_of(tag_of(str(caller.account_id), version))
    if if_none_match is not None and names(if_none_match, headers["ETag"], weak=True):
        return Response(status_code=304, headers=headers)
    return CalendarFile(await writing.file(events), headers=headers)


@router.head("/events/{event_id}.ics", include_in_schema=False)
async def look_at_event_as_file(
    event_id: UUID, caller: CallerDep, connection: ConnectionDep, if_none_match: IfNoneMatch = None
) -> Response:
    """As `show_event_as_file`. The server leaves out the body."""
    return await show_event_as_file(event_id, caller, connection, if_none_match)


@router.post(
    "/me/calendars", status_code=201, responses={201: {"headers": LOCATION}, **problems(400, 401, 403, 413, 415)}
)
@shows_secret
async def create_calendar(
    body: CalendarRequest,
    caller: AccountCallerDep,
    connection: ConnectionDep,
    settings: SettingsDep,
    response: Response,
) -> NewCalendar:
    """Make a secret address at which programs can subscribe to all my events. Whoever knows it sees them."""
    token = new_secret(CALENDAR_PREFIX)
    values = {"account_id": caller.account_id, "name": body.name, "token_hash": digest(token)}
    row = (await connection.execute(insert(calendars).values(values).returning(*SHOWN))).one()
    response.headers["Location"] = f"/api/v1/me/calendars/{row.id}"
    url = f"{settings.public_url.rstrip('/')}/calendars/{token}.ics"
    return NewCalendar(**Calendar.model_validate(row).model_dump(), url=url)


@router.get("/me/calendars", responses=problems(401, 403))
async def list_calendars(
    caller: AccountCallerDep, connection: ConnectionDep, limit: LimitQuery = 50, cursor: CursorQuery = None
) -> Calendars:
    """My calendars to subscribe to, oldest first, without their addresses."""
    rows, next_cursor = await page_of(connection, calendars, SHOWN, caller, limit, cursor)
    return Calendars(items=[Calendar.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.delete("/me/calendars/{calendar_id}", status_code=204, responses=problems(401, 403, 404))
async def delete_calendar(calendar_id: UUID, caller: AccountCallerDep, connection: ConnectionDep) -> None:
    """End an address, at once."""
    await end(connection, calendars, calendar_id, caller, "calendar")


@public.get("/calendars/{token}.ics", response_class=CalendarFile, responses=FILE | problems(404))
@limiter.limit(default_rate, key_func=address)
async def show_calendar(
    token: TokenPath, request: Request, stored: CacheDep, if_none_match: IfNoneMatch = None
) -> Response:
    """All events of who made this address, for programs that subscribe to it: no login."""
    engine = request.app.state.autocommit
    async with connect(engine) as connection:
        calendar = await feeds.find(connection, token)
        whose = calendar.account_id, calendar.person_id
        version = await feeds.version(connection, *whose)
    tag = tag_of(str(calendar.account_id), calendar.name, version)
    if if_none_match is not None and names(if_none_match, tag, weak=True):
        return Response(status_code=304, headers=headers_of(tag))
    # With no connection held meanwhile.
    if (kept := await stored.get(f"calendar:{tag}")) is not None:
        return CalendarFile(await asyncio.to_thread(zlib.decompress, kept), headers=headers_of(tag))
    async with connect(engine) as connection:
        version, events = await feeds.of_person(connection, *whose)
    # Something may have been changed since the first statement: the tag, and the key, are of what was read.
    tag = tag_of(str(calendar.account_id), calendar.name, version)
    return CalendarFile(await made(stored, tag, events, calendar.name), headers=headers_of(tag))


async def made(stored: Cache, tag: str, events: Iterable[Exported], name: str) -> bytes:
    """A calendar's file, which is kept for the next who asks."""
    content = await writing.file(events, name)
    compressed = await asyncio.to_thread(zlib.compress, content, 1)
    if len(compressed) <= MAX_CACHED:
        await stored.put(f"calendar:{tag}", compressed)
    return content


@public.head("/calendars/{token}.ics", include_in_schema=False)
@limiter.limit(default_rate, key_func=address)
async def look_at_calendar(
    token: TokenPath, request: Request, stored: CacheDep, if_none_match: IfNoneMatch = None
) -> Response:
    """As `show_calendar`. The server leaves out the body."""
    return await show_calendar(token, request, stored, if_none_match)
