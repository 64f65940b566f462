"""What route handlers ask for: a connection in a transaction, the caller, the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from planner_common.admins import IS_ADMIN
from planner_common.sealing import Sealer
from planner_common.settings import Settings
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import begin, connect
from planner_api.errors import forbidden, unauthorized
from planner_api.redis import Cache
from planner_api.tokens import ACCOUNT, Caller, token_of

__all__ = [
    "AccountCallerDep",
    "AdminDep",
    "CacheDep",
    "Caller",
    "CallerDep",
    "ConnectionDep",
    "QuestionDep",
    "SealerDep",
    "SettingsDep",
    "transaction_of",
]

SAFE_METHODS = frozenset({"GET", "HEAD"})
SHARED = "shared_transaction"
"""Where a request's scope has the function that begins a transaction for more than its handler, and then returns it."""


@asynccontextmanager
async def transaction_of(request: Request) -> AsyncIterator[AsyncConnection]:
    """The request's transaction, for a handler that does not hold one all along. It commits at the end, and then the
    dispatcher is woken: in this process only an event is set, nothing is waited for.

    Where `idempotency` or `rehearsal` surround the request it is theirs, and they say what becomes of it.
    """
    shared = request.scope.get(SHARED)
    if shared is not None:
        yield await shared()
        return
    async with begin(request.app.state.engine) as connection:
        yield connection
    request.app.state.waker.wake()


async def transaction(request: Request) -> AsyncIterator[AsyncConnection]:
    """One transaction for the request; for a GET, which changes nothing, none: it spares two round trips.

    `scope="function"`: it commits before the answer leaves, so a commit that fails is answered 5xx (I1). FastAPI's
    default would commit after the answer. What was committed may be a change, so the dispatcher is woken.
    """
    if request.method in SAFE_METHODS:
        async with connect(request.app.state.autocommit) as connection:
            yield connection
        return
    async with transaction_of(request) as connection:
        yield connection


ConnectionDep = Annotated[AsyncConnection, Depends(transaction, scope="function")]


async def question(request: Request) -> AsyncIterator[AsyncConnection]:
    """A connection for a POST that only reads: what it asks does not fit an address. Nobody is woken."""
    if SHARED in request.scope:
        async with transaction_of(request) as connection:
            yield connection
        return
    async with connect(request.app.state.autocommit) as connection:
        yield connection


QuestionDep = Annotated[AsyncConnection, Depends(question, scope="function")]


async def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


SettingsDep = Annotated[Settings, Depends(settings_of)]


async def sealer_of(request: Request) -> Sealer:
    sealer: Sealer = request.app.state.sealer
    return sealer


SealerDep = Annotated[Sealer, Depends(sealer_of)]


async def cache_of(request: Request) -> Cache:
    cache: Cache = request.app.state.cache
    return cache


CacheDep = Annotated[Cache, Depends(cache_of)]


def allowed(request: Request) -> Caller:
    """The caller. 401 for nobody, 403 for a personal token without the scope that the method needs.

    The token itself was read before the route was entered, by `authentication.identify`.
    """
    caller: Caller | None = request.scope.get("caller")
    if caller is None:
        if token_of(request):
            raise unauthorized("The token is not good, or no longer.", 'Bearer error="invalid_token"')
        raise unauthorized("Send an access token or a personal token.")
    needed = "read" if request.method in SAFE_METHODS else "write"
    if needed not in caller.scopes:
        raise forbidden(f"This token lacks the scope «{needed}».")
    return caller


class LoggedIn(OAuth2PasswordBearer):
    """`allowed` as a dependency; for OpenAPI, that it takes a token."""

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # not the token, but whose it is
        return allowed(request)


logged_in = LoggedIn(tokenUrl="/api/v1/auth/token", scheme_name="OAuth2PasswordBearer", auto_error=False)
CallerDep = Annotated[Caller, Depends(logged_in)]


async def logged_in_in_person(caller: CallerDep) -> Caller:
    """The caller, by a login of their own: a personal token may make or end neither tokens and sessions, nor channels,
    by which what it may read would leave Planner."""
    if ACCOUNT not in caller.scopes:
        raise forbidden("A personal token may not manage tokens or channels: log in with the password.")
    return caller


AccountCallerDep = Annotated[Caller, Depends(logged_in_in_person)]


async def admin_in_person(caller: CallerDep, connection: ConnectionDep) -> Caller:
    """The caller, an admin by a login of their own. PostgreSQL is asked each time: a dismissal counts at once."""
    if ACCOUNT not in caller.scopes:
        raise forbidden("A personal token may not do an admin's work: log in with the password.")
    if not await connection.scalar(IS_ADMIN, {"account": caller.account_id}):
        raise forbidden("Only admins may do this.")
    return caller


AdminDep = Annotated[Caller, Depends(admin_in_person)]
