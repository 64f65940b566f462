"""Muting an event: nothing about it leaves Planner for a person any more, by no channel. The inbox still shows it.

Rows of `mutes` are intervals, as those of `routes` are: a change is told by what was muted when it was made.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MUTE = text("""
    INSERT INTO mutes (person_id, event_id)
    SELECT CAST(:person AS uuid), id FROM events WHERE id = :event AND NOT purging
    ON CONFLICT (person_id, event_id) WHERE until IS NULL DO NOTHING
""")
UNMUTE = text("""
    UPDATE mutes SET until = clock_timestamp()
     WHERE person_id = :person AND event_id = :event AND until IS NULL
""")


async def mute(connection: AsyncConnection, person: UUID, event: UUID) -> None:
    """From now on. Muted already, it stays so."""
    await connection.execute(MUTE, {"person": person, "event": event})


async def unmute(connection: AsyncConnection, person: UUID, event: UUID) -> bool:
    """Whether it was muted."""
    return (await connection.execute(UNMUTE, {"person": person, "event": event})).rowcount > 0
