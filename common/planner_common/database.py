"""Connections to PostgreSQL for what runs synchronously: worker, dispatcher, exporter, command line.

The API, which is asynchronous, makes its own.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import URL, Engine, create_engine, make_url

from planner_common.settings import Settings

# For libpq: notice within some ten seconds that the other side is gone without a word.
KEEPALIVES = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def database_url(settings: Settings, driver: str) -> URL:
    """`DATABASE_URL` for SQLAlchemy with the given driver (`psycopg`, `asyncpg`)."""
    return make_url(settings.database_url.get_secret_value()).set(drivername=f"postgresql+{driver}")


def libpq_url(settings: Settings) -> str:
    """`DATABASE_URL` for libpq, with its password: for connections made without SQLAlchemy (LISTEN)."""
    return database_url(settings, "psycopg").set(drivername="postgresql").render_as_string(hide_password=False)


def timeouts(statement_seconds: float, idle_in_transaction_seconds: float = 30) -> dict[str, str]:
    """Server-side bounds for a session, in milliseconds as PostgreSQL takes them.

    The second one is what frees the row locks of a process that was frozen (SIGSTOP, a dead host) inside a transaction.
    """
    return {
        "statement_timeout": str(int(statement_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(int(idle_in_transaction_seconds * 1000)),
    }


# For statements that read the beginning of an index: right after a mass mailing PostgreSQL's statistics still say that
# hardly anything is due, and that it may as well read and sort all of it.
BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "jit": "off"}


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
    options = " ".join(f"-c {name}={value}" for name, value in {**timeouts(statement_seconds), **session}.items())
    return create_engine(
        database_url(settings, "psycopg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # in the text of errors, which is logged
        connect_args={"application_name": application_name, "options": options, **KEEPALIVES},
    )
