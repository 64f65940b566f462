"""Wakes the dispatcher after commits, outside of any request."""

import asyncio
import contextlib

import asyncpg
from asyncpg.exceptions import InterfaceError, PostgresError
from planner_common.libpq import libpq_url
from planner_common.logging import get_logger
from planner_common.messages import Channel
from planner_common.settings import Settings

RETRY_SECONDS = 1.0
logger = get_logger(__name__)


class Waker:
    """Sends one `NOTIFY` for all the commits since the last one. It is only a hint: the dispatcher polls as well."""

    def __init__(self, settings: Settings) -> None:
        self._url = libpq_url(settings)
        self._event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._event.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._event.wait()
            try:
                await self._notify_while_connected()
            except (OSError, PostgresError, InterfaceError) as error:
                logger.warning("waker_disconnected", error=type(error).__name__)
                self._event.set()  # what was to be said still is
                await asyncio.sleep(RETRY_SECONDS)

    async def _notify_while_connected(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=3, command_timeout=5, server_settings={"application_name": "planner-api-waker"}
        )
        try:
            while True:
                await self._event.wait()
                self._event.clear()
                await connection.execute(f"NOTIFY {Channel.CHANGES}")
        finally:
            with contextlib.suppress(Exception):
                await asyncio.shield(connection.close(timeout=1))
