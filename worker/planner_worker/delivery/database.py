"""PostgreSQL, as the event loop asks it: by the process's one connection, in a thread of its own.

A batch asks it very often, and most of what it asks is one statement, which needs no BEGIN and no COMMIT: each is a
round trip. It keeps the connection from its first question to its last, for to look whether it lives is another.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from planner_common.logging import get_logger, in_short
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

INSIST_SECONDS = 35.0
"""How long what must be written down is kept for a PostgreSQL that is away. Below a task's time limit."""
AGAIN_SECONDS = 0.2

T = TypeVar("T")
logger = get_logger("planner_worker")


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Several statements as one, on a connection on which each is committed by itself."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        with suppress(OperationalError):
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


class Database:
    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        # One connection, hence one thread: statements wait for each other there, not in the event loop.
        self._thread = ThreadPoolExecutor(1, "database")

    async def query(self, ask: Callable[[Connection], T]) -> T:
        """Raises OperationalError when PostgreSQL is away. Each statement is committed by itself; see `transaction`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._query, ask)

    def _query(self, ask: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._engine().connect()
        try:
            return ask(self._connection)
        except OperationalError:
            self._release()
            raise

    async def insist(self, ask: Callable[[Connection], T]) -> T | None:
        """As `query`, but tried again while PostgreSQL is away. None if it stays away for too long."""
        deadline = time.monotonic() + INSIST_SECONDS
        noted = False
        while True:
            try:
                return await self.query(ask)
            except OperationalError as error:
                if time.monotonic() > deadline:
                    return None
                if not noted:
                    logger.warning("dependency away", dependency="postgresql", error=in_short(error))
                    noted = True
                await asyncio.sleep(AGAIN_SECONDS)

    async def release(self) -> None:
        """Give the connection back: other tasks of the process need it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._release)

    def _release(self) -> None:
        if self._connection is not None:
            with suppress(OperationalError):
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        self._thread.shutdown()
