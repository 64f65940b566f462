"""What surrounds every request: its id, its bound on the body, its line in the log, its numbers, and the last resort
for errors. One pure ASGI layer, so that streams pass through as they are."""

import os
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

from planner_common import logging, metrics, tracing
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planner_api.errors import to_problem, too_large
from planner_api.limits import UNMATCHED
from planner_api.routing import MAX_BODY

SANE_ID = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")
STREAM = b"text/event-stream"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
NAMED = 10
"""How many changes a request's line names; an import may have made thousands."""

logger = logging.get_logger("planner_api.access")


def request_id_of(scope: Scope) -> str:
    """The caller's own `X-Request-ID`, if it is fit for logs and headers; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE_ID.fullmatch(value):
            sane: str = value.decode("ascii")
            return sane
    return os.urandom(16).hex()


class Requests:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, templates: Mapping[int, str]) -> None:
        self.app = app
        self.templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = scope["request_id"] = request_id_of(scope)
        logging.bind(request_id=request_id)
        span = tracing.request(scope["method"], scope["path"], scope["headers"]) if tracing.on else None
        size = 0
        status = 0
        streams = False

        async def receive_bounded() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                limit = scope.get("max_body", MAX_BODY)
                if size > limit:
                    raise too_large(limit)
            return message

        async def send_marked(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                streams = any(name == b"content-type" and value.startswith(STREAM) for name, value in headers)
                message["headers"] = [
                    *headers,
                    (b"x-request-id", request_id.encode("ascii")),
                    *scope.get("rate_limit_headers", ()),
                ]
            await send(message)

        try:
            await self.app(scope, receive_bounded, send_marked)
        except Exception as error:
            problem = to_problem(error)
            if status:  # the answer has begun: what is left is to cut it off, which the server does
                raise
            await problem.response(request_id)(scope, receive, send_marked)
        finally:
            self._note(scope, status, time.perf_counter() - started, streams=streams)
            if span is not None:
                route = self.templates.get(id(scope.get("route")), UNMATCHED)
                span.answered(route, status, request_id, [change for change, _ in scope.get("changes", ())[:NAMED]])
            logging.unbind("request_id")

    def _note(self, scope: Scope, status: int, seconds: float, *, streams: bool) -> None:
        method, entered = scope["method"], scope.get("route")
        route = self.templates.get(id(entered), UNMATCHED)
        # Starlette also names a route that has the address and not the method.
        counted = route if entered and method in entered.methods else UNMATCHED
        requests, durations = series(method, counted, status)
        requests.inc()
        if status == 429:  # noqa: PLR2004
            metrics.rate_limited.labels(counted).inc()
        if not streams:  # how long somebody stayed connected is no answer's duration
            durations.observe(seconds)
        logger.info(
            "request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 2),
            **made(scope.get("changes") if status < 400 else None),  # noqa: PLR2004
        )  # fmt: skip


@lru_cache(maxsize=4096)
def series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Where such requests are counted. Looking that up by labels costs as much as to count."""
    known = method if method in METHODS else "other"
    return metrics.http_requests.labels(known, route, status), metrics.http_request_seconds.labels(known, route)


def made(changes: list[tuple[int, UUID]] | None) -> dict[str, Any]:
    """What a line of the log says of the changes, with their events, that a request has made."""
    if not changes:
        return {}
    if len(changes) == 1:
        [(change, event)] = changes
        return {"change_ids": [change], "event_id": str(event)}
    events = {event for _, event in changes}
    return {
        "change_ids": [change for change, _ in changes[:NAMED]],
        **({"changes": len(changes)} if len(changes) > NAMED else {}),
        **({"event_id": str(events.pop())} if len(events) == 1 else {"events": len(events)}),
    }
