"""The statement of `GET /events`: the caller's events by start, a page at a time."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.dependencies import Caller
from planner_api.events.reading import COUNTS, MINE, ORGANIZER, SHOWN

# Each reads an index by start and stops at a page's length, however many events there are.
ORGANIZED = "SELECT e.id, e.starts_at FROM events e WHERE e.organizer_id = :account"
TAKEN_PART_IN = """
    SELECT e.id, e.starts_at FROM participants p JOIN events e ON e.id = p.event_id
     WHERE p.person_id = :person AND p.until_change IS NULL
"""
FILTERS = {
    # An event of no length lies where it begins (RFC 4791 §9.9).
    "begin": "(e.ends_at > :begin OR e.starts_at >= :begin)",
    "end": "e.starts_at < :end",
    "status": "e.status = :status",
    "words": "(e.title ILIKE :words OR e.description ILIKE :words OR e.location ILIKE :words)",
    "after_id": "(e.starts_at, e.id) > (:after_start, :after_id)",
}


def containing(words: str) -> str:
    """The LIKE pattern of a text that is meant literally."""
    for special in ("\\", "%", "_"):
        words = words.replace(special, "\\" + special)
    return f"%{words}%"


async def listed(
    connection: AsyncConnection,
    caller: Caller,
    *,
    limit: int,
    role: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    words: str | None = None,
    **filters: Any,
) -> list[RowMapping]:
    """Up to `limit` rows of what `reading.shown` takes. `filters`: `begin`, `end` (instants), `status`."""
    values = {name: value for name, value in filters.items() if value is not None}
    if words:
        values["words"] = containing(words)
    if after is not None:
        values["after_start"], values["after_id"] = after
    conditions = " AND ".join(["e.deleted_at IS NULL", *(FILTERS[name] for name in FILTERS if name in values)])
    branches = {"organizer": [ORGANIZED], "participant": [TAKEN_PART_IN], None: [ORGANIZED, TAKEN_PART_IN]}[role]
    pages = [f"({branch} AND {conditions} ORDER BY e.starts_at, e.id LIMIT :limit)" for branch in branches]
    statement = f"""
        WITH found AS (SELECT * FROM ({" UNION ".join(pages)}) page ORDER BY starts_at, id LIMIT :limit)
        SELECT {SHOWN}, counts.*
          FROM found JOIN events e ON e.id = found.id {ORGANIZER} {MINE} {COUNTS}
         ORDER BY e.starts_at, e.id
    """
    values |= {"account": caller.account_id, "person": caller.person_id, "limit": limit}
    return list((await connection.execute(text(statement), values)).mappings())
