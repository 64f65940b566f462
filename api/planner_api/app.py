"""Puts the API together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from asyncpg.exceptions import InterfaceError, PostgresError
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import iter_route_contexts
from planner_common import tracing
from planner_common.logging import configure_logging
from planner_common.sealing import Sealer
from planner_common.settings import Settings, get_settings
from planner_common.vitals import HEAD
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp

from planner_api import description, errors
from planner_api.database import DatabaseAwayError, make_engine, show
from planner_api.direct import Directly, direct_routes
from planner_api.limits import RateLimits
from planner_api.middleware import Requests
from planner_api.near import Near
from planner_api.passwords import Passwords
from planner_api.presence import Presence
from planner_api.redis import Cache, Guard, make_client
from planner_api.routes import (
    accounts,
    admin_deliveries,
    admin_held,
    calendars,
    channels,
    deliveries,
    events,
    explanations,
    free_busy,
    health,
    history,
    imports,
    mutes,
    notifications,
    occurrences,
    participants,
    personal_tokens,
    preferences,
    unsubscribing,
    verification,
)
from planner_api.routing import Route, handle_http_error, make_router
from planner_api.stream import Streams
from planner_api.together import Together
from planner_api.tokens import AccessTokens
from planner_api.waker import Waker

BASE = "/api/v1"

# One line for each noun. Each request looks through them in this order.
ROUTERS: list[APIRouter] = [
    calendars.router,  # before events: `/events/{id}.ics` is no id
    events.router,
    accounts.router,
    history.router,
    imports.router,
    occurrences.router,
    free_busy.router,
    participants.router,
    notifications.router,
    explanations.router,
    deliveries.router,
    personal_tokens.router,
    preferences.router,
    mutes.router,
    channels.router,
    verification.router,
    admin_deliveries.router,
    admin_held.router,
]

documents = make_router("description", include_in_schema=False)


@documents.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@documents.get("/docs")
async def docs() -> HTMLResponse:
    return get_swagger_ui_html(openapi_url="/openapi.json", title="Planner")


class Application(FastAPI):
    templates: Mapping[int, str]
    """As the function of this name gives them."""

    def build_middleware_stack(self) -> ASGIApp:
        surrounded = partial(Requests, templates=self.templates)
        return Directly(super().build_middleware_stack(), [*direct_routes(self)], surrounded)

    def openapi(self) -> dict[str, Any]:
        """The description of the API."""
        if self.openapi_schema is None:
            description.complete(self, super().openapi())
        return super().openapi()


def templates(app: FastAPI) -> dict[int, str]:
    """The address template of every route, by the route's identity: what logs and metrics call a request."""
    found = {}
    for context in iter_route_contexts(app.routes):
        if not isinstance(context.original_route, Route):
            raise TypeError(f"{context.path} is no planner_api.routing.Route: it would be neither limited nor checked")
        found[id(context.original_route)] = context.path or ""
    return found


@contextlib.asynccontextmanager
async def running(
    settings: Settings, access_tokens: AccessTokens, presence: Presence | None, app: FastAPI
) -> AsyncIterator[None]:
    """What an application has while it serves."""
    state = app.state
    state.engine = make_engine(settings)
    pool = asyncio.create_task(show(state.engine))
    state.autocommit = state.engine.execution_options(isolation_level="AUTOCOMMIT")  # the same connections
    probe, cache_client = make_client(settings.limits()), make_client(settings.cache())
    state.guard = Guard(probe)
    state.cache = Cache(cache_client, state.guard, settings.cache_seconds)
    state.rate_limits = RateLimits(settings, state.guard)
    state.together = Together(state.autocommit)
    state.near = Near(1_000, 16_000)
    state.passwords = Passwords()
    state.access_tokens = access_tokens
    state.waker = Waker(settings)
    state.waker.start()
    state.streams = Streams(settings)
    state.streams.start()
    if presence:
        presence.start()
    try:
        with state.streams.ended_by_signals():
            yield
    finally:
        if presence:
            await asyncio.to_thread(presence.stop)
        await state.streams.close()
        await state.waker.close()
        await state.guard.close()
        await state.rate_limits.close()
        await cache_client.aclose()
        await probe.aclose()
        pool.cancel()
        await state.engine.dispose()
        await asyncio.to_thread(tracing.stop)


def create_app(settings: Settings, presence: Presence | None = None) -> FastAPI:
    """The application. It connects to PostgreSQL and Redis when its lifespan begins, and needs neither to start.

    `presence`: said while the lifespan lasts.
    """
    if settings.signing_key is None:
        raise ValueError("SIGNING_KEY is not set")
    sealer = Sealer(settings.encryption_keys)
    access_tokens = AccessTokens(settings.signing_key.get_secret_value(), settings.access_token_seconds)
    app = Application(
        title="Planner",
        version="1",
        description="Shared events, and everyone in them told: once, on time.",
        lifespan=partial(running, settings, access_tokens, presence),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Its own tells URLs with their tokens, and of errors what they quote.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.settings = settings
    app.state.sealer = sealer
    app.state.schema_head = HEAD
    for router in ROUTERS:
        app.include_router(router, prefix=BASE)
    app.include_router(unsubscribing.router)
    app.include_router(calendars.public)
    app.include_router(health.router)
    app.include_router(documents)
    app.add_exception_handler(HTTPException, handle_http_error)
    for kind in (RequestValidationError, DBAPIError, PostgresError, InterfaceError, DatabaseAwayError):
        app.add_exception_handler(kind, errors.handle)
    app.templates = templates(app)
    app.add_middleware(Requests, templates=app.templates)
    return app


def from_environment() -> FastAPI:
    """The application of a server's process, as the environment sets it."""
    settings = get_settings()
    configure_logging(settings, "api")
    tracing.start(settings, "api")
    return create_app(settings, Presence(settings, "api"))
