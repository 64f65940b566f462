"""`planner audit`: does every change have exactly the notifications that are due (I2)?

What is due is computed here from the change log by a query of its own, written differently from `changes.AUDIENCE` on
purpose: a mistake shared by the writer and the auditor would be seen by neither.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, text

# For each participation (a row of participants) and each change of its event: where does the change lie relative to the
# interval, and does its kind speak to those who come, stay or go?
DUE = """
    SELECT DISTINCT c.id AS change_id, person.id AS person_id
      FROM changes c
      JOIN events e ON e.id = c.event_id
      JOIN accounts organizer ON organizer.id = e.organizer_id
      CROSS JOIN LATERAL (
          SELECT p.person_id AS id
            FROM participants p
           WHERE p.event_id = c.event_id
             AND CASE
                 WHEN c.kind IN ('creation', 'invitation') THEN c.id = p.since_change
                 WHEN c.kind = 'removal' THEN c.id = p.until_change
                 WHEN c.kind IN ('update', 'reschedule', 'cancellation', 'restoration')
                     THEN int8range(p.since_change, p.until_change, '()') @> c.id
                 ELSE false
                 END
          UNION
          SELECT organizer.person_id
           WHERE c.kind NOT IN ('creation', 'invitation', 'removal', 'deletion')
      ) person
     WHERE c.notify AND c.fanned_out_at IS NOT NULL AND c.at >= :since
       AND person.id <> COALESCE(c.actor, '00000000-0000-0000-0000-000000000000')
"""

DIFFERENCE = f"""
    WITH due AS ({DUE}),
    there AS (
        SELECT n.change_id, n.person_id FROM notifications n LEFT JOIN changes c ON c.id = n.change_id
         WHERE c.id IS NULL OR c.at >= :since
    ),
    compared AS (
        SELECT COALESCE(due.change_id, there.change_id) AS change_id,
               COALESCE(due.person_id, there.person_id) AS person_id,
               due.change_id IS NOT NULL AS is_due, there.change_id IS NOT NULL AS is_there
          FROM due FULL JOIN there USING (change_id, person_id)
    )
    SELECT is_due, is_there, count(*) AS number,
           (array_agg(change_id ORDER BY change_id, person_id))[1 : :listed] AS change_ids,
           (array_agg(person_id ORDER BY change_id, person_id))[1 : :listed] AS person_ids
      FROM compared GROUP BY is_due, is_there
"""

PENDING = "SELECT count(*), COALESCE(max(now() - at), interval '0') FROM changes WHERE fanned_out_at IS NULL"
COUNTS = "SELECT count(*), count(DISTINCT event_id) FROM changes WHERE at >= :since"


@dataclass
class Findings:
    """What an audit found. `missing` and `extra` are (change id, person id), the first ones of each."""

    events: int = 0
    changes: int = 0
    notifications: int = 0
    pending: int = 0
    """Changes that are not fanned out yet: not wrong, unless they are old."""
    oldest_pending: timedelta = timedelta(0)
    missing_count: int = 0
    extra_count: int = 0
    missing: list[tuple[int, UUID]] = field(default_factory=list)
    extra: list[tuple[int, UUID]] = field(default_factory=list)

    def ok(self, stuck_after: timedelta) -> bool:
        return not self.missing_count and not self.extra_count and self.oldest_pending < stuck_after


def pending(connection: Connection) -> tuple[int, timedelta]:
    """How many changes wait for their notifications, and since when the oldest."""
    number, age = connection.execute(text(PENDING)).one()
    return number, age


def audit(connection: Connection, since: str = "-infinity", listed: int = 20) -> Findings:
    """Compare what is due with what is there, for changes made at or after `since` (an instant as PostgreSQL reads it).

    One snapshot for all of it, so that what commits meanwhile does not look like a fault. Hashes the whole log: minutes
    for hundreds of millions of rows, so it lifts the session's statement timeout.
    """
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    found = Findings()
    found.changes, found.events = connection.execute(text(COUNTS), {"since": since}).one()
    found.pending, found.oldest_pending = pending(connection)
    for row in connection.execute(text(DIFFERENCE), {"since": since, "listed": listed}):
        pairs = list(zip(row.change_ids, row.person_ids, strict=True))
        if row.is_there:
            found.notifications += row.number
        if not row.is_there:
            found.missing_count, found.missing = row.number, pairs
        elif not row.is_due:
            found.extra_count, found.extra = row.number, pairs
    return found
