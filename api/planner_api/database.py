"""The API's connections to PostgreSQL: asyncpg under SQLAlchemy Core."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from planner_common.database import database_url, timeouts
from planner_common.settings import Settings
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

STATEMENT_SECONDS = 20
CONNECT_SECONDS = 3
ACQUIRE_SECONDS = 5


class DatabaseAwayError(Exception):
    """PostgreSQL gave no connection in time: it is away, or all connections are busy."""


def make_engine(settings: Settings) -> AsyncEngine:
    """An engine of `DATABASE_POOL` connections; a request that gets none within `ACQUIRE_SECONDS` is answered 503."""
    return create_async_engine(
        database_url(settings, "asyncpg"),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=ACQUIRE_SECONDS,
        connect_args=_connect_args("planner-api"),
    )


def make_engine_for_one(settings: Settings, application_name: str) -> AsyncEngine:
    """An engine without a pool, for a background task with a connection of its own."""
    return create_async_engine(
        database_url(settings, "asyncpg"), poolclass=NullPool, connect_args=_connect_args(application_name)
    )


def _connect_args(application_name: str) -> dict[str, Any]:
    return {
        "timeout": CONNECT_SECONDS,
        "command_timeout": STATEMENT_SECONDS + 5,
        "server_settings": {"application_name": application_name, **timeouts(STATEMENT_SECONDS)},
    }


def is_away(error: BaseException) -> bool:
    """Whether an error means that PostgreSQL is away, starting, stopping or full, not that a statement is wrong.

    By SQLSTATE: class 08 (connection), 53 (resources), 57P (an operator's intervention: shutdown, still starting).
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = str(getattr(cause, "sqlstate", None) or "")
    if state.startswith(("08", "53", "57P")):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, (InterfaceError, OperationalError)) and not state


@asynccontextmanager
async def connect(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection from the pool, rolled back at the end. Raises DatabaseAwayError when there is none to be had."""
    try:
        connection = await engine.connect()
    except (OSError, PoolTimeoutError) as error:  # what asyncpg's connect raises is not wrapped by SQLAlchemy
        raise DatabaseAwayError(type(error).__name__) from error
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def begin(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that commits at the end, or rolls back on an exception."""
    async with connect(engine) as connection, connection.begin():
        yield connection
