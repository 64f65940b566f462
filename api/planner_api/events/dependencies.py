"""What the handlers of events ask for."""

from typing import Annotated, Literal

from fastapi import Depends, Header, Query, Request

from planner_api.dependencies import CallerDep
from planner_api.events.recording import Author

Notify = Literal["all", "none"]
NotifyQuery = Annotated[Notify, Query(description="Whether those in the event are told of this change.")]
DryRunQuery = Annotated[bool, Query(description="Change nothing, and say who would be told what, where and when.")]
IfMatch = Annotated[str | None, Header(description='The ETag that the change is for: `"3"`.', max_length=1_000)]
IfNoneMatch = Annotated[str | None, Header(description="An ETag that the caller has.")]

ETAG = {"ETag": {"description": "The event's revision, in quotes.", "schema": {"type": "string"}}}
LOCATION = {"Location": {"description": "Where it is.", "schema": {"type": "string", "format": "uri-reference"}}}


async def author_of(
    request: Request,
    caller: CallerDep,
    notify: NotifyQuery = "all",
    dry_run: DryRunQuery = False,  # noqa: ARG001  # it is looked at before
) -> Author:
    """Who makes the change. Marks a route as one whose requests `rehearsal` rolls back, if `dry_run` is wanted."""
    scope = request.scope
    made = scope.setdefault("changes", [])
    return Author(caller.account_id, caller.person_id, notify == "all", scope.get("request_id"), made=made)


AuthorDep = Annotated[Author, Depends(author_of)]


async def quiet_author_of(
    request: Request, caller: CallerDep, notify: NotifyQuery = "none", dry_run: DryRunQuery = False
) -> Author:
    return await author_of(request, caller, notify, dry_run)


QuietAuthorDep = Annotated[Author, Depends(quiet_author_of)]
"""As `AuthorDep`, but nobody is told unless that is asked for."""
