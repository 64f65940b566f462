"""A person's notifications, from the tables to what the API shows: what the inbox and the live streams share."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from planner_common.changes import told_as
from planner_common.summaries import Reader, instant, summary
from pydantic_core import from_json, to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from planner_api.database import Row, fetch
from planner_api.schemas.common import rfc3339
from planner_api.schemas.notifications import NotificationOut

# Completes rows of `n`, a relation of notifications, with what they show. Who has left an event does not learn what
# happens to it afterwards: for them the last member of `of_all` is what title, start and status were when they were
# told. For the others it is not looked for.
SHOWN = """
    SELECT {more}, n.id, CAST(n.created_at AT TIME ZONE 'UTC' AS text) AS created_at,
           CAST(n.read_at AT TIME ZONE 'UTC' AS text) AS read_at,
           CAST(json_build_array(
               c.kind, c.revision, c.diff, e.id, e.title, e.status, e.starts_at, e.all_day,
               actor.name, reader.locale, reader.time_zone,
               CASE WHEN e.organizer_id = reader.id OR EXISTS (
                   SELECT FROM participants p
                    WHERE p.event_id = e.id AND p.person_id = n.person_id AND p.until_change IS NULL
               ) THEN NULL ELSE (
                   SELECT json_build_array(
                              (array_agg(l.diff->'title'->>0 ORDER BY l.revision) FILTER (WHERE l.diff ? 'title'))[1],
                              (array_agg(l.diff->'start'->0 ORDER BY l.revision) FILTER (WHERE l.diff ? 'start'))[1],
                              (array_agg(l.diff->'status'->>0 ORDER BY l.revision) FILTER (WHERE l.diff ? 'status'))[1]
                          )
                     FROM changes l WHERE l.event_id = c.event_id AND l.revision > c.revision
               ) END
           ) AS text) AS of_all
      FROM n
      JOIN changes c ON c.id = n.change_id
      JOIN events e ON e.id = c.event_id
      JOIN accounts reader ON reader.person_id = n.person_id
      LEFT JOIN accounts actor ON actor.person_id = c.actor
"""

# Of a change's diff, who else was added or removed is not the reader's business.
NOT_TOLD = {"participants", "removed"}
EXCERPT = 200
"""Characters of a long text (a description) that a notification shows."""
KEPT, MAX_KEPT = 4_096, 2_000
"""How many changes a process remembers as they are shown, and how long the text of each may be."""


def showing(notifications: str, order: str = "", more: str = "n.person_id") -> str:
    """The statement for `as_json`, of the notifications that a SELECT of theirs finds.

    What all have who read of a change in one language and zone comes as one text, `of_all`: to take it apart again for
    each of them would be most of the work.
    """
    return f"WITH n AS MATERIALIZED ({notifications}) {SHOWN.format(more=more)} {order}"


def shown(row: Row) -> NotificationOut:
    """A row of a `showing` statement, as the API shows it."""
    return NotificationOut.model_validate_json(as_json(row))


def as_json(row: Row) -> str:
    """A row of a `showing` statement as the JSON of a `NotificationOut`."""
    of_all: str = row["of_all"]
    members = _members(of_all) if len(of_all) <= MAX_KEPT else _members.__wrapped__(of_all)
    created_at, read_at = row["created_at"], row["read_at"]
    read = "null" if read_at is None else f'"{_instant(read_at)}"'
    return f'{{"id":"{row["id"]}","created_at":"{_instant(created_at)}","read_at":{read},{members}}}'


def reader_of(row: Row) -> Reader:
    """Who reads it."""
    *_, locale, time_zone, _ = from_json(row["of_all"])
    return Reader(locale, time_zone)


def _instant(text: str) -> str:
    """PostgreSQL's text of an instant in UTC as RFC 3339 has it."""
    return f"{text[:10]}T{text[11:]}Z"


@lru_cache(maxsize=KEPT)
def _members(of_all: str) -> str:
    """The members that a notification of one change has for all who read it in one language and zone.

    They are made of nothing but the argument, so what was made once is right whenever that comes again.
    """
    kind, revision, diff, event, title, status, starts_at, all_day, actor, locale, zone, was = from_json(of_all)
    old_title, start, old_status = was or (None, None, None)
    title, status = old_title or title, old_status or status
    begins = _start(start, datetime.fromisoformat(starts_at), all_day=all_day)
    at = begins if isinstance(begins, datetime) else datetime(begins.year, begins.month, begins.day, tzinfo=UTC)
    told = told_as(kind)
    members = {
        "kind": told,
        "event": {"id": event, "title": title, "starts_at": rfc3339(at), "status": status},
        "revision": revision,
        "summary": summary(told, title, begins, actor, diff, reader=Reader(locale, zone)),
        "data": {field: [_excerpt(v) for v in values] for field, values in diff.items() if field not in NOT_TOLD},
    }
    return to_json(members)[1:-1].decode()


def _excerpt(value: Any) -> Any:
    return value[:EXCERPT] + "…" if isinstance(value, str) and len(value) > EXCERPT else value


def _start(start: Mapping[str, str] | None, starts_at: datetime, *, all_day: bool) -> date | datetime:
    """When the event starts: an instant in UTC, or a date for a whole day."""
    if start is not None:
        return instant(start)
    starts_at = starts_at.astimezone(UTC)
    return starts_at.date() if all_day else starts_at


class Page(NamedTuple):
    """The newest so many of a person's notifications that are older than one of them."""

    person: UUID
    before: UUID | None
    limit: int


# For many at once, each by its index.
PAGES = """
    SELECT asked.position, found.*
      FROM ROWS FROM (unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::integer[]))
               WITH ORDINALITY AS asked (person, before, size, position)
     CROSS JOIN LATERAL (
         SELECT * FROM notifications
          WHERE person_id = asked.person AND id < asked.before {unread}
          ORDER BY id DESC LIMIT asked.size
     ) found
"""
NEWEST, NEWEST_UNREAD = (
    showing(PAGES.format(unread=unread), "ORDER BY n.position, n.id DESC", more="n.position")
    for unread in ("", "AND read_at IS NULL")
)
LAST = UUID(int=2**128 - 1)


async def newest(connection: AsyncConnection, asked: Sequence[Page]) -> Sequence[Sequence[Row]]:
    """Rows for `as_json`, of each page."""
    return await _pages(connection, NEWEST, asked)


async def newest_unread(connection: AsyncConnection, asked: Sequence[Page]) -> Sequence[Sequence[Row]]:
    """The same of those that are unread."""
    return await _pages(connection, NEWEST_UNREAD, asked)


async def _pages(connection: AsyncConnection, statement: str, asked: Sequence[Page]) -> Sequence[Sequence[Row]]:
    people, before, limits = zip(*((page.person, page.before or LAST, page.limit) for page in asked), strict=True)
    pages: list[list[Row]] = [[] for _ in asked]
    for row in await fetch(connection, statement, people, before, limits):
        pages[row["position"] - 1].append(row)
    return pages


UNREAD = """
    SELECT (SELECT count(*) FROM notifications WHERE person_id = asked.person AND read_at IS NULL) AS unread
      FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (person, position) ORDER BY asked.position
"""


async def unread(connection: AsyncConnection, people: Sequence[UUID]) -> Sequence[int]:
    """How many unread notifications each of them has."""
    return [row["unread"] for row in await fetch(connection, UNREAD, people)]
