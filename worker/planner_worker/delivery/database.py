"""PostgreSQL, as the event loop asks it: by the process's one connection, in a thread of its own."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from planner_common.logging import get_logger, in_short
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

INSIST_SECONDS = 35.0
"""How long what must be written down is kept for a PostgreSQL that is away. Below a task's time limit."""
AGAIN_SECONDS = 0.2

T = TypeVar("T")
logger = get_logger("planner_worker")


class Database:
    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        # One connection, hence one thread: statements wait for each other there, not in the event loop.
        self._thread = ThreadPoolExecutor(1, "database")

    async def query(self, ask: Callable[[Connection], T]) -> T:
        """One transaction. Raises OperationalError when PostgreSQL is away."""

        def within() -> T:
            with self._engine().execution_options(isolation_level="READ COMMITTED").begin() as connection:
                return ask(connection)

        return await asyncio.get_running_loop().run_in_executor(self._thread, within)

    async def insist(self, ask: Callable[[Connection], T]) -> T | None:
        """A transaction that is tried again while PostgreSQL is away. None if it stays away for too long."""
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

    def close(self) -> None:
        self._thread.shutdown()
