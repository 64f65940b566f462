"""What is asked most is answered directly: without FastAPI's part of a request, which is most of what such a request
costs (going through the routers, solving dependencies; see docs/performance.md).

The route remains. It describes the address, has the same answer made by the same function, and takes whatever is not
plain: a query, another way to write an id. What surrounds an answer is the same as well: who asks is found out, the
request is counted against the route's limit, errors become problems.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from planner_api.authentication import identify
from planner_api.dependencies import allowed
from planner_api.limits import name_of

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])
Answer = Callable[..., Awaitable[Response]]
"""Given the request, the caller and what the address has in its parameters, which are ids as `UUID` writes them."""

ID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


def directly(answer: Answer) -> Callable[[EndpointT], EndpointT]:
    """Have a GET without a query answered by `answer`."""

    def declare(endpoint: EndpointT) -> EndpointT:
        endpoint.__dict__["directly"] = answer
        return endpoint

    return declare


class Direct:
    """One route's plain requests."""

    def __init__(self, path: str, route: APIRoute) -> None:
        self.path = path
        self._pattern = re.compile(re.sub(r"\{\w+\}", ID, path))
        self._answer: Answer = route.endpoint.__dict__["directly"]
        self._name = name_of(route.endpoint)
        self._route = route

    def find(self, path: str) -> re.Match[str] | None:
        return self._pattern.fullmatch(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route
        request = Request(scope, receive)
        await identify(request)
        await scope["app"].state.rate_limits.check(request, self._name)
        response = await self._answer(request, allowed(request), *scope["ids"])
        await response(scope, receive, send)


class Directly:
    """Stands before all that FastAPI does with a request, and takes what is plain of some routes.

    `surrounded`: what surrounds every answer, around this one, which makes problems of errors.
    """

    def __init__(self, otherwise: ASGIApp, routes: Sequence[Direct], surrounded: Callable[[ASGIApp], ASGIApp]) -> None:
        self._otherwise = otherwise
        self._routes = [(route, surrounded(route)) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            for route, app in self._routes:
                if (found := route.find(scope["path"])) is not None:
                    scope["ids"] = found.groups()
                    return await app(scope, receive, send)
        return await self._otherwise(scope, receive, send)


class Json(Response):
    """An answer whose JSON is made already: of something that is there, or is made now and is at `location`."""

    def __init__(self, body: bytes, etag: str | None = None, location: str | None = None) -> None:
        self.status_code = 201 if location else 200
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        if etag is not None:
            self.raw_headers.append((b"etag", etag.encode()))
        if location is not None:
            self.raw_headers.append((b"location", location.encode()))


def direct_routes(app: FastAPI) -> Iterator[Direct]:
    """Those whose endpoints are declared so."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and hasattr(route.endpoint, "directly"):
            yield Direct(context.path or "", route)
