"""Requests that wait for others: held where they are, and seen to wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from api.tests.conftest import until

WAITING = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
""")


@contextmanager
def locked(engine: Engine, event: str) -> Iterator[None]:
    """Hold an event, so that whoever wants to change it waits."""
    with engine.begin() as connection:
        connection.execute(text("SELECT FROM events WHERE id = :event FOR UPDATE"), {"event": event})
        yield


async def someone_waits(connection: Connection) -> None:
    """Until a request waits for a lock."""
    await until(lambda: connection.execute(WAITING).scalar_one() == 1)
