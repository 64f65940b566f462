"""What libpq is told of a connection to PostgreSQL, with SQLAlchemy or without: who needs none of it imports none."""

from collections.abc import Mapping

from planner_common.settings import Settings

# Notice within some ten seconds that the other side is gone without a word.
KEEPALIVES = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# For statements that read the beginning of an index: right after a mass mailing PostgreSQL's statistics still say that
# hardly anything is due, and that it may as well read and sort all of it.
BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "jit": "off"}


def libpq_url(settings: Settings) -> str:
    """`DATABASE_URL` with its password, whatever driver of SQLAlchemy it names."""
    return "postgresql://" + settings.database_url.get_secret_value().partition("://")[2]


def timeouts(statement_seconds: float, idle_in_transaction_seconds: float = 30) -> dict[str, str]:
    """Server-side bounds for a session, in milliseconds as PostgreSQL takes them.

    The second one is what frees the row locks of a process that was frozen (SIGSTOP, a dead host) inside a transaction.
    """
    return {
        "statement_timeout": str(int(statement_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(int(idle_in_transaction_seconds * 1000)),
    }


def options(settings: Mapping[str, str]) -> str:
    """Settings of a session, as libpq's `options` takes them."""
    return " ".join(f"-c {name}={value}" for name, value in settings.items())
