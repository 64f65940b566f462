"""Connections to PostgreSQL by SQLAlchemy, for what runs synchronously: worker, command line.

The API, which is asynchronous, makes its own.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import URL, Engine, create_engine, make_url

from planner_common.libpq import KEEPALIVES, options, timeouts
from planner_common.settings import Settings


def database_url(settings: Settings, driver: str) -> URL:
    """`DATABASE_URL` for SQLAlchemy with the given driver (`psycopg`, `asyncpg`)."""
    return make_url(settings.database_url.get_secret_value()).set(drivername=f"postgresql+{driver}")


def make_engine(
    settings: Settings,
    application_name: str,
    *,
    pool_size: int = 1,
    statement_seconds: float = 60,
    session: Mapping[str, str] = MappingProxyType({}),
) -> Engine:
    """An engine whose sessions show up as `application_name` in `pg_stat_activity` and can't wait for ever.

    `session`: further settings of theirs.
    """
    return create_engine(
        database_url(settings, "psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # in the text of errors, which is logged
        connect_args={
            "application_name": application_name,
            "options": options({**timeouts(statement_seconds), **session}),
            **KEEPALIVES,
        },
    )
