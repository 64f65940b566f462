"""Calendar files, taken in."""

from email.message import Message
from types import ModuleType
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Body, Query, Request
from planner_common.models import accounts
from sqlalchemy import select

from planner_api.database import connect
from planner_api.dependencies import CallerDep, transaction_of
from planner_api.errors import Problem, problems, unauthorized
from planner_api.events.dependencies import QuietAuthorDep
from planner_api.events.people import Person, distinct
from planner_api.routing import make_router, max_body
from planner_api.schemas.common import EmailAddress
from planner_api.schemas.imports import FailedEvent, ImportResult

router = make_router("events")

MAX_BODY = 5 * 1024 * 1024
MAX_PARTICIPANTS = 100_000
"""In all the events of a file together, those invited by the request included."""
readers = CapacityLimiter(2)
"""Files that one process reads at once: reading takes the interpreter's lock from the requests."""


def reading_and_importing() -> tuple[ModuleType, ModuleType]:
    """What is needed with the first file, and takes its time then. Most processes never see one: 4 MB less."""
    from planner_api.calendars import importing, reading  # noqa: PLC0415  # see above

    return reading, importing


def unfit(detail: str) -> Problem:
    errors = [{"pointer": "", "detail": detail}]
    return Problem(422, "invalid", "The calendar cannot be imported", detail, errors)


@router.post("/events/import", responses=problems(400, 401, 403, 409, 413, 415))
@max_body(MAX_BODY)
async def import_calendar(
    content: Annotated[bytes, Body(media_type="text/calendar", description="An iCalendar file (RFC 5545).")],
    request: Request,
    caller: CallerDep,
    author: QuietAuthorDep,
    invite: Annotated[
        list[EmailAddress], Query(max_length=100, description="Who is to be in every event of the file.")
    ] = [],  # noqa: B006  # FastAPI makes a new one for each request
) -> ImportResult:
    """Take in the events of a calendar file, by UID: the same file again changes nothing.

    I become the organizer; the file's attendees take part, and so does who is named in `invite`. Of recurring events
    it is the first occurrence. What makes no sense is listed in `failed`, and the rest is taken.
    """
    async with connect(request.app.state.autocommit) as connection:
        wanted = select(accounts.c.time_zone).where(accounts.c.id == caller.account_id)
        time_zone = (await connection.execute(wanted)).scalar_one_or_none()
    if time_zone is None:
        raise unauthorized("The account is gone.")
    # No connection is held meanwhile, and the event loop is free.
    reading, importing = await run_sync(reading_and_importing, limiter=readers)
    try:
        entries, failures = await run_sync(reading.read, content, charset_of(request), time_zone, limiter=readers)
    except reading.NoCalendarError as error:
        raise unfit(str(error)) from error
    invited = distinct(Person(email) for email in invite)
    number = sum(len(entry.people) + len(invited) for entry in entries)
    if number > MAX_PARTICIPANTS:
        raise unfit(f"Its events would have {number:,} participants, more than the {MAX_PARTICIPANTS:,} taken at once.")
    async with transaction_of(request) as connection:
        created, updated, unchanged = await importing.save(connection, entries, invited, author)
    failed = [FailedEvent(uid=failure.uid, detail=failure.detail) for failure in failures]
    return ImportResult(created=created, updated=updated, unchanged=unchanged, failed=failed)


def charset_of(request: Request) -> str | None:
    """The `charset` of the request's Content-Type."""
    header = Message()
    header["Content-Type"] = request.headers.get("content-type", "")
    return header.get_content_charset()
