"""What an audit looks at: all of it, what was changed since an instant, or one event."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

# Of changes `c`. Whoever asks binds `since` (an instant as PostgreSQL reads it) and `event` (or NULL).
IN_SCOPE = "c.at >= :since AND (CAST(:event AS uuid) IS NULL OR c.event_id = :event)"

# The smallest id of these changes, so that what hangs on them is found by the indexes that begin with it; OFFSET, so
# that it is not sought by going through all ids. An instant that is none raises here.
FIRST = text(f"""
    SELECT CAST(:since AS timestamptz) = '-infinity' AND CAST(:event AS uuid) IS NULL AS whole,
           (SELECT min(id) FROM (SELECT id FROM changes c WHERE {IN_SCOPE} OFFSET 0) c) AS first
""")
LAST_ID = 2**63 - 1

HORIZONS = text("SELECT name, at FROM horizons")


def kept(table: str) -> str:
    """Whether what belongs to a change `c` must still be in this table, as SQL: it was not fanned out before the
    table's horizon, nor is it of an event that is being pruned."""
    return f"""
        (c.fanned_out_at < (SELECT at FROM horizons WHERE name = '{table}')) IS NOT TRUE
        AND NOT EXISTS (SELECT FROM events gone WHERE gone.purging AND gone.id = c.event_id)
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    since: str
    event: UUID | None
    stuck: timedelta
    """For how long a row may be due."""
    listed: int | None
    """How many rows are named of each kind; None: all."""
    first: int
    whole: bool
    """Everything there is, also what belongs to no change."""

    @classmethod
    def find(
        cls, connection: Connection, *, since: str, event: UUID | None, stuck: timedelta, listed: int | None
    ) -> "Scope":
        """Raises sqlalchemy's DataError when `since` is no instant that PostgreSQL knows."""
        row = connection.execute(FIRST, {"since": since, "event": event}).one()
        first = LAST_ID if row.first is None else row.first
        return cls(since=since, event=event, stuck=stuck, listed=listed, first=first, whole=row.whole)

    def rows(self, table: str) -> str:
        """The rows of notifications or deliveries `t` that are looked at: what follows FROM."""
        if self.whole:
            return f"{table} t WHERE t.change_id IS NOT NULL"
        return f"{table} t JOIN changes c ON c.id = t.change_id WHERE t.change_id >= :first AND {IN_SCOPE}"

    def kept(self, table: str) -> str:
        """Of those rows: whether what belongs to the change of `t` must still be in this table."""
        if self.whole:
            return f"NOT EXISTS (SELECT FROM changes c WHERE c.id = t.change_id AND NOT ({kept(table)}))"
        return kept(table)

    def values(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "event": self.event,
            "stuck": self.stuck,
            "listed": self.listed,
            "first": self.first,
        }
