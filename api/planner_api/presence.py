"""The API's word that it lives, said by asyncpg: psycopg besides would be 6 MB in each of its processes."""

import asyncio

import asyncpg
from asyncpg.exceptions import InterfaceError, PostgresError
from planner_common import presence
from planner_common.libpq import timeouts
from planner_common.logging import get_logger, in_short
from planner_common.presence import APPLICATION, STATEMENT_SECONDS

logger = get_logger(__name__)


class Presence(presence.Presence):
    """In a thread of its own all the same: a loop that stands still is not a process that is gone."""

    def say(self, statement: str, *values: object) -> None:
        try:
            with presence.connecting:
                asyncio.run(self._say(statement, values))
        except (OSError, PostgresError, InterfaceError) as error:  # OSError: TimeoutError, too
            logger.debug("not written down", error=in_short(error))

    async def _say(self, statement: str, values: tuple[object, ...]) -> None:
        connection = await asyncpg.connect(
            self.url,
            timeout=STATEMENT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": APPLICATION, **timeouts(STATEMENT_SECONDS)},
        )
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close(timeout=STATEMENT_SECONDS)
