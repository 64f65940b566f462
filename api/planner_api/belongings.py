"""What accounts have by rows of their own, each with an id, such as tokens: listed and ended in one way."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Table, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.dependencies import Caller
from planner_api.errors import not_found
from planner_api.pagination import decode, encode


async def page_of(
    connection: AsyncConnection,
    table: Table,
    shown: Sequence[ColumnElement[Any]],
    caller: Caller,
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Row[Any]], str | None]:
    """Some of the caller's, oldest first, and the cursor of the next page if there is one. `shown` has the id."""
    wanted = select(*shown).where(table.c.account_id == caller.account_id)
    if cursor is not None:
        wanted = wanted.where(table.c.id > decode(cursor, UUID)[0])
    rows = (await connection.execute(wanted.order_by(table.c.id).limit(limit + 1))).all()
    return rows[:limit], encode(str(rows[limit - 1].id)) if len(rows) > limit else None


async def end(connection: AsyncConnection, table: Table, belonging: UUID, caller: Caller, noun: str) -> None:
    """Delete one of the caller's. 404 for any other."""
    mine = table.c.id == belonging, table.c.account_id == caller.account_id
    if (await connection.execute(delete(table).where(*mine))).rowcount == 0:
        raise not_found(noun)
