"""The kind of route that everything in this API is: identified, limited, and checked before its body is read."""

from collections.abc import Callable, Coroutine, Iterator
from functools import cached_property
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from planner_api import idempotency, rehearsal
from planner_api.authentication import identify
from planner_api.dependencies import logged_in, logged_in_in_person
from planner_api.errors import Problem, handle, invalid, problems, too_large, unparsable
from planner_api.events.dependencies import author_of, quiet_author_of
from planner_api.limits import UNMATCHED, name_of
from planner_api.tokens import ACCOUNT, Caller

MAX_BODY = 1_000_000
"""Bytes that a body may have, unless the route says otherwise with `max_body`."""

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])


def max_body(size: int) -> Callable[[EndpointT], EndpointT]:
    """Let the bodies of an endpoint have up to `size` bytes."""

    def declare(endpoint: EndpointT) -> EndpointT:
        endpoint.__dict__["max_body"] = size
        return endpoint

    return declare


def shows_secret(endpoint: EndpointT) -> EndpointT:
    """The endpoint's answer holds what is shown once: it is not kept, so `Idempotency-Key` means nothing there."""
    endpoint.__dict__["shows_secret"] = True
    return endpoint


def find_nul(value: Any, pointer: str = "") -> str | None:
    """Where in a JSON value the first text or name with a NUL is, which PostgreSQL cannot store."""
    if isinstance(value, str):
        return pointer if "\0" in value else None
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if isinstance(key, str) and "\0" in key:
            return pointer
        if (found := find_nul(child, f"{pointer}/{key}")) is not None:
            return found
    return None


class JsonRequest(Request):
    """Parses JSON with a parser that is strict (UTF-8, no lone surrogates, no NaN) and bounded in depth."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            value = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise unparsable(str(error)) from error
        if b"\\u0000" in body and (pointer := find_nul(value)) is not None:
            raise invalid(pointer, "a text cannot hold a NUL character")
        return value


def _same_media_type(declared: str, sent: str) -> bool:
    sent = sent.partition(";")[0].strip().lower()
    if declared == "application/json":
        return sent == declared or (sent.startswith("application/") and sent.endswith("+json"))
    return sent == declared


def asked_for(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    """Everything that a handler depends on, directly or not."""
    for one in dependant.dependencies:
        yield one.call
        yield from asked_for(one)


class Route(APIRoute):
    """A route whose requests are identified, counted against its limit and checked for size and media type."""

    @cached_property
    def takes_key(self) -> bool:
        """Whether it takes `Idempotency-Key`: POST and PATCH for those who are logged in."""
        changes = {"POST", "PATCH"} & (self.methods or set())
        return bool(changes) and logged_in in asked_for(self.dependant) and not hasattr(self.endpoint, "shows_secret")

    @cached_property
    def rehearses(self) -> bool:
        """Whether it takes `dry_run`."""
        return not {author_of, quiet_author_of}.isdisjoint(asked_for(self.dependant))

    @cached_property
    def scopes(self) -> frozenset[str]:
        """What a caller must be allowed to get an answer that was kept: as much as for a new one."""
        return frozenset({"write", ACCOUNT} if logged_in_in_person in asked_for(self.dependant) else {"write"})

    def key_of(self, request: Request) -> str | None:
        """The key of a request that is to be run once."""
        caller: Caller | None = request.scope.get("caller")
        if not self.takes_key or caller is None or not self.scopes <= caller.scopes:
            return None
        return idempotency.key_of(request)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        name = name_of(self.endpoint)
        limit = getattr(self.endpoint, "max_body", MAX_BODY)
        body = self.body_field.field_info if self.body_field else None
        media_type = body.media_type if isinstance(body, params.Body) else None

        async def guarded(request: Request) -> Response:
            scope = request.scope
            await identify(request)
            await scope["app"].state.rate_limits.check(request, name)
            if b"%00" in scope["query_string"]:
                raise invalid("/query", "a text cannot hold a NUL character")
            if media_type is not None:
                scope["max_body"] = limit
                length = request.headers.get("content-length", "")
                if length.isdecimal() and int(length) > limit:
                    raise too_large(limit)
                sent = request.headers.get("content-type", "")
                has_body = length not in {"", "0"} or "transfer-encoding" in request.headers
                if has_body and not _same_media_type(media_type, sent):
                    raise Problem(
                        415, "unsupported-media-type", "Unsupported media type", f"The body must be {media_type}."
                    )
            json_request = JsonRequest(scope, request.receive)
            if scope["query_string"] and self.rehearses and rehearsal.wanted(request):
                return await rehearsal.rehearse(json_request, handle)
            if (key := self.key_of(request)) is not None:
                return await idempotency.once(
                    json_request, handle, scope["caller"], key, reads_body=self.body_field is not None
                )
            return await handle(json_request)

        return guarded


async def handle_http_error(request: Request, error: Exception) -> Response:
    """Problems, and what Starlette raises itself: where no route was entered (404, 405), that counts as well."""
    if "rate_limit_headers" not in request.scope:
        try:
            await identify(request)
            await request.scope["app"].state.rate_limits.check(request, UNMATCHED)
        except Problem as limit:
            error = limit
    if isinstance(error, HTTPException) and error.status_code == 405:  # noqa: PLR2004
        error.headers = {"Allow": ", ".join(methods_at(request.scope["app"], request.scope["path"]))}
    return await handle(request, error)


def methods_at(app: FastAPI, path: str) -> list[str]:
    """All methods that an address takes, whichever route takes them. Starlette names only those of one route."""
    found = {
        method
        for context in iter_route_contexts(app.routes)
        if context.path_regex.match(path)
        for method in context.methods or ()
    }
    return sorted(found)


ALWAYS = problems(422, 429, 500, 503)


def make_router(tag: str, **options: Any) -> APIRouter:
    """A router for one noun. What every route may answer is declared here, once."""
    return APIRouter(route_class=Route, tags=[tag], responses=ALWAYS, **options)
