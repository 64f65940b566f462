"""The API's connections to PostgreSQL: asyncpg under SQLAlchemy Core."""

from planner_common.database import database_url, timeouts
from planner_common.settings import Settings
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

STATEMENT_SECONDS = 20
CONNECT_SECONDS = 3
ACQUIRE_SECONDS = 5


def make_engine(settings: Settings) -> AsyncEngine:
    """An engine of `DATABASE_POOL` connections; a request that gets none within `ACQUIRE_SECONDS` is answered 503."""
    return create_async_engine(
        database_url(settings, "asyncpg"),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=ACQUIRE_SECONDS,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "server_settings": {"application_name": "planner-api", **timeouts(STATEMENT_SECONDS)},
        },
    )
