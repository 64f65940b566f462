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

    async def answer(self, ids: Sequence[str], scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route
        request = Request(scope, receive)
        await identify(request)
        await scope["app"].state.rate_limits.check(request, self._name)
        response = await self._answer(request, allowed(request), *ids)
        await response(scope, receive, send)


class Directly:
    """Stands before an application's routes, and takes from some of them what is plain. Within `Requests`, which makes
    problems of errors."""

    def __init__(self, app: ASGIApp, routes: Sequence[Direct]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            for route in self._routes:
                if (found := route.find(scope["path"])) is not None:
                    return await route.answer(found.groups(), scope, receive, send)
        return await self._app(scope, receive, send)


def direct_routes(app: FastAPI) -> Iterator[Direct]:
    """Those whose endpoints are declared so."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and hasattr(route.endpoint, "directly"):
            yield Direct(context.path or "", route)
