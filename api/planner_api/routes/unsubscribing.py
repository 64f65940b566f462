"""Ending mails by the link in them, without a login (RFC 8058): a POST does, a GET only asks."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Path, Request
from planner_common.models import routes
from planner_common.sealing import Sealer, UnsealedError, Unsubscription
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from planner_api.channels import kinds
from planner_api.channels.kinds import Wanted
from planner_api.dependencies import ConnectionDep, SealerDep
from planner_api.errors import Problem, problems
from planner_api.events import muting
from planner_api.routing import make_router
from planner_api.unsubscribe_page import Reading, language_of, page, preferred

router = make_router("unsubscribing")

ALL = UUID(int=0)
"""Stands for every event: the link of a mail about several."""
MAX_BODY = 10_000
ONE_CLICK = ("List-Unsubscribe", "One-Click")

# The title only for who is in the event now.
READER = text("""
    SELECT a.locale, e.title
      FROM (SELECT CAST(:person AS uuid) AS id) me
      LEFT JOIN accounts a ON a.person_id = me.id
      LEFT JOIN events e ON e.id = :event AND e.deleted_at IS NULL AND (
          e.organizer_id = a.id OR EXISTS (
              SELECT FROM participants p WHERE p.event_id = e.id AND p.person_id = me.id AND p.until_change IS NULL
          )
      )
""")

# Who gets codes at an address that somebody else has entered gets no more of them.
END_UNVERIFIED = text("""
    UPDATE channels SET ended_at = now(), address = '', code_expires_at = NULL
     WHERE id = :channel AND person_id = :person AND verified_at IS NULL AND ended_at IS NULL
""")

TokenPath = Annotated[str, Path(description="What the link in the mail ends with.")]


def _html(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}


FORM = {
    "schema": {
        "type": "object",
        "properties": {
            "List-Unsubscribe": {"const": "One-Click", "description": "What the link is for: the event, or all mails."},
            "what": {"enum": ["event", "all"]},
        },
    }
}
BODY = {
    "requestBody": {
        "content": dict.fromkeys(("application/x-www-form-urlencoded", "multipart/form-data"), FORM),
        "required": True,
    }
}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: _html("The link is not good.")}


def opened(token: str, sealer: Sealer) -> Unsubscription | None:
    try:
        return Unsubscription.of(token, sealer)
    except UnsealedError:
        return None


async def reading(connection: AsyncConnection, request: Request, link: Unsubscription | None) -> Reading:
    """For whom the page is: in the language of the account, or the one that the browser asks for."""
    asked = preferred(request.headers.get("accept-language", ""))
    if link is None:
        return Reading(language=asked)
    row = (await connection.execute(READER, {"person": link.person_id, "event": link.event_id})).one()
    language = language_of(row.locale) if row.locale is not None else None
    return Reading(language=language or asked, of_event=link.event_id != ALL, title=row.title)


@router.get("/unsubscribe/{token}", response_class=HTMLResponse, responses=UNKNOWN)
async def ask(token: TokenPath, request: Request, connection: ConnectionDep, sealer: SealerDep) -> HTMLResponse:
    """Say what the link does, and ask. Whoever follows links without being asked (scanners of mail) changes nothing."""
    link = opened(token, sealer)
    return page("unknown" if link is None else "asked", await reading(connection, request, link))


@router.head("/unsubscribe/{token}", include_in_schema=False)
async def look(token: TokenPath, request: Request, connection: ConnectionDep, sealer: SealerDep) -> HTMLResponse:
    """As `ask`: scanners of mail often send a HEAD first. The server leaves out the body."""
    return await ask(token, request, connection, sealer)


async def form_of(request: Request) -> FormData:
    """The form of the body, read before a connection is taken; an empty one when it is none."""
    request.scope["max_body"] = MAX_BODY
    try:
        return await request.form(max_files=0, max_fields=10)
    except Problem:
        raise
    except HTTPException:
        return FormData()


def wanted(form: FormData, link: Unsubscription) -> Literal["event", "all", "unclear"]:
    """What is to end. `unclear` when the form does not say, or says what the link is not for."""
    what = form.get("what")
    if form.get(ONE_CLICK[0]) == ONE_CLICK[1]:
        return "all" if link.event_id == ALL else "event"
    if what == "all":
        return "all"
    return "event" if what == "event" and link.event_id != ALL else "unclear"


@router.post(
    "/unsubscribe/{token}",
    response_class=HTMLResponse,
    responses={**UNKNOWN, **problems(413), 400: _html("The form does not say what to end.")},
    openapi_extra=BODY,
)
async def unsubscribe(
    token: TokenPath,
    form: Annotated[FormData, Depends(form_of)],
    request: Request,
    connection: ConnectionDep,
    sealer: SealerDep,
) -> HTMLResponse:
    """End messages about the event, or all mails: what the form says or, for a mail program's one click, what the link
    is for. Doing it again changes nothing."""
    link = opened(token, sealer)
    reader = await reading(connection, request, link)
    if link is None:
        return page("unknown", reader)
    what = wanted(form, link)
    if what == "event":
        await muting.mute(connection, link.person_id, link.event_id)
    elif what == "all":
        await end_mails(connection, link)
    return page(what, reader)


async def end_mails(connection: AsyncConnection, link: Unsubscription) -> None:
    """No kind goes to the address of this mail any more: that of the person, or another that is a channel of theirs."""
    person, channel = link.person_id, link.channel_id
    await kinds.lock(connection, person)
    if channel == person:
        await kinds.set_kinds(connection, person, [kinds.email_of(person, ())])
        return
    of_channel = select(routes.c.type).where(
        routes.c.channel_id == channel, routes.c.person_id == person, routes.c.until.is_(None)
    )
    kind = await connection.scalar(of_channel)
    if kind is not None:
        await kinds.set_kinds(connection, person, [Wanted(channel, kind, ())])
    else:
        await connection.execute(END_UNVERIFIED, {"person": person, "channel": channel})
