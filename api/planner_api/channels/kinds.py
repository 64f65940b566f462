"""Which kinds of notification go to which channel: rows of `routes`, which are ended and followed, never rewritten.

A change is told by the routes that were in force when it was made, so each row keeps from when to when it was.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from planner_common.deliveries import DEFAULT_KINDS, KINDS, ChannelType
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('channels of ' || CAST(:person AS text), 0))")

# One instant ends what was and begins what is: every change falls to exactly one of them. What is as it was keeps its
# row. `ended` is counted so that it is executed first: a channel has at most one open route. E-mail without a route
# takes the defaults.
SET = text("""
    WITH moment AS MATERIALIZED (
        SELECT clock_timestamp() AS at
    ), wanted AS (
        SELECT w.channel_id, w.type, w.kinds, r.id AS route_id
          FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w (channel_id uuid, type text, kinds text[])
          LEFT JOIN routes r ON r.channel_id = w.channel_id AND r.until IS NULL
         WHERE w.kinds IS DISTINCT FROM
               COALESCE(r.kinds, CASE WHEN w.channel_id = :person THEN CAST(:defaults AS text[]) END)
    ), ended AS (
        UPDATE routes SET until = moment.at FROM wanted, moment WHERE routes.id = wanted.route_id RETURNING 1
    )
    INSERT INTO routes (person_id, channel_id, type, kinds, since)
    SELECT CAST(:person AS uuid), wanted.channel_id, wanted.type, wanted.kinds, moment.at
      FROM wanted, moment WHERE (SELECT count(*) FROM ended) >= 0
""")
END = text("UPDATE routes SET until = clock_timestamp() WHERE channel_id = :channel AND until IS NULL")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The kinds that are to go to a channel from now on."""

    channel_id: UUID
    type: str
    kinds: tuple[str, ...]


def in_order(kinds: Iterable[str]) -> tuple[str, ...]:
    """Each kind once, in the order of `KINDS`: the form in which two lists of the same kinds are equal."""
    given = set(kinds)
    return tuple(kind for kind in KINDS if kind in given)


async def lock(connection: AsyncConnection, person: UUID) -> None:
    """One at a time for a person's channels and routes, until the transaction ends.

    Who writes routes, adds a channel or ends one locks first: e-mail has no row that could be locked, and a channel
    that does not exist yet has none either.
    """
    await connection.execute(LOCK, {"person": str(person)})


async def set_kinds(connection: AsyncConnection, person: UUID, wanted: Iterable[Wanted]) -> None:
    """From this moment on these kinds go to these channels of the person. Under `lock`."""
    rows = [{"channel_id": str(one.channel_id), "type": one.type, "kinds": list(in_order(one.kinds))} for one in wanted]
    await connection.execute(SET, {"person": person, "defaults": list(DEFAULT_KINDS), "wanted": json.dumps(rows)})


async def open_route(connection: AsyncConnection, person: UUID, channel: UUID, kind: str) -> None:
    """The defaults go to a channel that nothing has gone to. Under `lock`."""
    await set_kinds(connection, person, [Wanted(channel, kind, DEFAULT_KINDS)])


async def end_route(connection: AsyncConnection, channel: UUID) -> None:
    """Nothing more goes to a channel. Under `lock`."""
    await connection.execute(END, {"channel": channel})


def email_of(person: UUID, kinds: Iterable[str]) -> Wanted:
    """For the channel that everybody has without a row."""
    return Wanted(person, ChannelType.EMAIL, tuple(kinds))
