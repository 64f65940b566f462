"""The API's connections to PostgreSQL: asyncpg under SQLAlchemy Core."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from asyncpg.exceptions import InterfaceError as DriverInterfaceError
from asyncpg.exceptions import PostgresError
from planner_common import metrics, tracing
from planner_common.database import database_url
from planner_common.libpq import timeouts
from planner_common.settings import Settings
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool, PoolProxiedConnection

STATEMENT_SECONDS = 20
CONNECT_SECONDS = 3
ACQUIRE_SECONDS = 5
SHOWN_SECONDS = 1.0
"""How often it is shown what the pool has. At each request it would be a third of what metrics cost."""


class DatabaseAwayError(Exception):
    """PostgreSQL gave no connection in time: it is away, or all connections are busy."""


def make_engine(settings: Settings) -> AsyncEngine:
    """An engine of `DATABASE_POOL` connections; a request that gets none within `ACQUIRE_SECONDS` is answered 503."""
    engine = create_async_engine(
        database_url(settings, "asyncpg"),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=ACQUIRE_SECONDS,
        hide_parameters=True,  # in the text of errors, which is logged
        connect_args=_connect_args("planner-api"),
    )
    event.listen(engine.sync_engine, "checkout", renew_closed)
    metrics.pool_limit.set(settings.database_pool)
    return engine


def renew_closed(connection: Any, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    """Have the pool make its connections anew when PostgreSQL has closed this one: it was restarted.

    A look at the socket's state, where `pool_pre_ping` would cost every request a round trip.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


async def show(engine: AsyncEngine) -> None:
    """Show what the engine's pool has, for ever."""
    used, idle = metrics.pool_connections.labels("used"), metrics.pool_connections.labels("idle")
    while True:
        pool = engine.sync_engine.pool  # another one after PostgreSQL was away
        assert isinstance(pool, AsyncAdaptedQueuePool)  # noqa: S101  # for mypy
        used.set(pool.checkedout())
        idle.set(pool.checkedin())
        await asyncio.sleep(SHOWN_SECONDS)


def make_engine_for_one(settings: Settings, application_name: str) -> AsyncEngine:
    """An engine without a pool, for a background task with a connection of its own."""
    return create_async_engine(
        database_url(settings, "asyncpg"),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=_connect_args(application_name),
    )


def _connect_args(application_name: str) -> dict[str, Any]:
    return {
        "timeout": CONNECT_SECONDS,
        "command_timeout": STATEMENT_SECONDS + 5,
        "server_settings": {"application_name": application_name, **timeouts(STATEMENT_SECONDS)},
    }


AWAY = ("08", "53", "57P", "57014", "25006", "25P03", "40001", "40P01")
"""SQLSTATEs, or how they begin: connection, resources, an operator's intervention (shutdown, still starting), statement
timeout, read only (a standby), idle in transaction, serialization failure, deadlock."""


def is_away(error: BaseException) -> bool:
    """Whether an error means that PostgreSQL is away or overwhelmed, rather than that a statement is wrong."""
    if isinstance(error, (DatabaseAwayError, TimeoutError, ConnectionError)):
        return True
    if not isinstance(error, (DBAPIError, PostgresError, DriverInterfaceError)):
        return False
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = str(getattr(cause, "sqlstate", None) or "")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return state.startswith(AWAY) or lost or (isinstance(error, (InterfaceError, DriverInterfaceError)) and not state)


@asynccontextmanager
async def connect(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection from the pool, rolled back at the end. Raises DatabaseAwayError when there is none to be had."""
    asked = time.perf_counter()
    try:
        connection = await engine.connect()
    except (OSError, PoolTimeoutError) as error:  # what asyncpg's connect raises is not wrapped by SQLAlchemy
        if isinstance(error, PoolTimeoutError):
            metrics.pool_timeouts.inc()
        raise DatabaseAwayError(type(error).__name__) from error
    metrics.pool_wait_seconds.observe(time.perf_counter() - asked)
    try:
        yield connection
    finally:
        await connection.close()


class Row(Protocol):
    """A row with named values: SQLAlchemy's mapping, or asyncpg's record."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Iterable[str]: ...


async def fetch(connection: AsyncConnection, statement: str, *values: Any) -> Sequence[Row]:
    """What one statement gives, with its values at $1, $2, …: asked of asyncpg itself. For what is asked so often that
    SQLAlchemy's part would be most of it. It commits by itself unless the connection is in a transaction."""
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None  # noqa: S101  # for mypy
    with tracing.statement(statement):
        rows: Sequence[Row] = await raw.fetch(statement, *values)
    return rows


@asynccontextmanager
async def begin(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that commits at the end, or rolls back on an exception."""
    async with connect(engine) as connection, connection.begin() as transaction:
        yield connection
        with tracing.step("COMMIT"):
            await transaction.commit()
