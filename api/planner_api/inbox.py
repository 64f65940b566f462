"""A person's notifications, from the tables to what the API shows: what the inbox and the live streams share."""

from datetime import UTC, date, datetime
from typing import Any

from planner_common.changes import told_as
from planner_common.summaries import Reader, instant, summary
from sqlalchemy import RowMapping, TextualSelect, text
from sqlalchemy.dialects.postgresql import JSONB

from planner_api.schemas.notifications import EventOfNotification, NotificationOut

# Completes rows of `n`, a relation of notifications, with what they show. `later` keeps from people who have left an
# event what happens to it afterwards: it finds what title, start and status were when they were told. Its condition on
# `member` is checked before it reads a row, so it costs the others nothing.
SHOWN = """
    SELECT n.id, n.person_id, n.read_at, n.created_at, c.kind, c.revision, c.diff,
           e.id AS event_id, COALESCE(later.title, e.title) AS title, COALESCE(later.status, e.status) AS status,
           later.start, e.starts_at, e.all_day,
           actor.name AS actor, reader.locale, reader.time_zone
      FROM n
      JOIN changes c ON c.id = n.change_id
      JOIN events e ON e.id = c.event_id
      JOIN accounts reader ON reader.person_id = n.person_id
      LEFT JOIN accounts actor ON actor.person_id = c.actor
      CROSS JOIN LATERAL (
          SELECT e.organizer_id = reader.id OR EXISTS (
              SELECT FROM participants p
               WHERE p.event_id = e.id AND p.person_id = n.person_id AND p.until_change IS NULL
          ) AS inside
      ) member
      CROSS JOIN LATERAL (
          SELECT (array_agg(l.diff->'title'->>0 ORDER BY l.revision) FILTER (WHERE l.diff ? 'title'))[1] AS title,
                 (array_agg(l.diff->'start'->0 ORDER BY l.revision) FILTER (WHERE l.diff ? 'start'))[1] AS start,
                 (array_agg(l.diff->'status'->>0 ORDER BY l.revision) FILTER (WHERE l.diff ? 'status'))[1] AS status
            FROM changes l WHERE NOT member.inside AND l.event_id = c.event_id AND l.revision > c.revision
      ) later
"""

# Of a change's diff, who else was added or removed is not the reader's business.
NOT_TOLD = {"participants", "removed"}
EXCERPT = 200
"""Characters of a long text (a description) that a notification shows."""


def showing(notifications: str, order: str = "") -> TextualSelect:
    """The statement for `shown`, of the notifications that a SELECT of theirs finds."""
    return text(f"WITH n AS MATERIALIZED ({notifications}) {SHOWN} {order}").columns(diff=JSONB, start=JSONB)


def shown(row: RowMapping) -> NotificationOut:
    """A row of a `showing` statement, as the API shows it. Not validated: it comes from our own tables."""
    start = _start(row)
    starts_at = start if isinstance(start, datetime) else datetime(start.year, start.month, start.day, tzinfo=UTC)
    kind = told_as(row["kind"])
    reader = Reader(row["locale"], row["time_zone"])
    return NotificationOut.model_construct(
        id=row["id"],
        kind=kind,
        event=EventOfNotification.model_construct(
            id=row["event_id"], title=row["title"], starts_at=starts_at, status=row["status"]
        ),
        revision=row["revision"],
        summary=summary(kind, row["title"], start, row["actor"], row["diff"], reader=reader),
        data={field: [_excerpt(v) for v in values] for field, values in row["diff"].items() if field not in NOT_TOLD},
        read_at=row["read_at"],
        created_at=row["created_at"],
    )


def _excerpt(value: Any) -> Any:
    return value[:EXCERPT] + "…" if isinstance(value, str) and len(value) > EXCERPT else value


def _start(row: RowMapping) -> date | datetime:
    """When the event starts: an instant in UTC, or a date for a whole day."""
    if row["start"] is not None:
        return instant(row["start"])
    starts_at: datetime = row["starts_at"].astimezone(UTC)
    return starts_at.date() if row["all_day"] else starts_at
