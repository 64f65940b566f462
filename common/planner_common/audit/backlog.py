"""What waits: changes for their notifications, deliveries to be sent; and what has waited for too long.

Partial indexes hold just these rows, so this is cheap however large the tables are.
"""

from datetime import timedelta

from sqlalchemy import Connection, text

from planner_common.audit.scope import Scope

LONG = "interval '1 hour'"
"""What is leased for longer was not to be: leases last seconds."""
NEVER = "interval '7 days'"
"""What is put off for longer was not to be: digests, quiet hours and retries are nearer."""
COUNTED = 1_000_000
"""Up to how many due deliveries are counted."""

# Held ones wait for an admin; once let go, they are due from then on.
PENDING = text("""
    SELECT count(*), COALESCE(max(now() - COALESCE(decided_at, at)), interval '0')
      FROM changes WHERE fanned_out_at IS NULL AND held_at IS NULL
""")
DUE = text("""
    SELECT count(*) FROM (
        SELECT FROM deliveries WHERE finished_at IS NULL AND lane = ANY('{0, 1, 2}') AND due_at <= now() LIMIT :limit
    ) due
""")


def pending(connection: Connection) -> tuple[int, timedelta]:
    """How many changes wait for their notifications, and since when the oldest. Held ones do not count."""
    number, age = connection.execute(PENDING).one()
    return number, age


def due(connection: Connection, limit: int = COUNTED) -> int:
    """How many deliveries are due and not finished, up to a limit. Those that will be due later do not count."""
    number: int = connection.execute(DUE, {"limit": limit}).scalar_one()
    return number


def waiting(connection: Connection) -> bool:
    """Whether anything is to be done just now: a change to fan out, or a delivery to send."""
    return bool(pending(connection)[0] or due(connection, limit=1))


def stuck(_scope: Scope) -> str:
    """Rows of `snapshot.COLUMNS`: what is due for longer than told, whatever its lease says, expired, absent or alive;
    what is leased, or put off, for so long that nobody would come back to it; and what is held."""
    return f"""
        SELECT CASE WHEN c.held_at IS NULL THEN 'change_stuck' ELSE 'held' END AS name,
               c.id AS change_id, NULL::uuid AS person_id, NULL::uuid AS channel_id, NULL::uuid AS delivery_id,
               EXTRACT(epoch FROM now() - COALESCE(c.held_at, c.decided_at, c.at))::float AS seconds
          FROM changes c
         WHERE c.fanned_out_at IS NULL AND (CAST(:event AS uuid) IS NULL OR c.event_id = :event)
           AND (c.held_at IS NOT NULL OR COALESCE(c.decided_at, c.at) < now() - CAST(:stuck AS interval)
                OR c.lease_until > now() + {LONG})
        UNION ALL
        SELECT 'delivery_stuck', d.change_id, d.person_id, d.channel_id, d.id,
               EXTRACT(epoch FROM now() - d.due_at)::float
          FROM deliveries d
         WHERE d.finished_at IS NULL
           AND (d.due_at < now() - CAST(:stuck AS interval) OR d.due_at > now() + {NEVER}
                OR d.lease_until > now() + {LONG})
           AND (CAST(:event AS uuid) IS NULL OR d.change_id IN (SELECT id FROM changes WHERE event_id = :event))
    """
