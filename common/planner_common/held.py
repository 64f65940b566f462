"""Changes that the brake keeps back, since an account has reached very many people: an admin lets them go, or not.

Held is what has `held_at` and is not fanned out. Who decides clears `held_at` and is noted in `decided_by`; what is
rejected is told to nobody, but stays in the event's history. Statements and their values only, as in `replay`.
"""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text

from planner_common.deliveries import TOLD_AS

OPERATOR = UUID(int=0)
"""Stands in `decided_by` for whoever typed at the command line: nobody by this id, but not undecided either."""


class Decision(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"


# Of `c`, changes.
HELD = "c.held_at IS NOT NULL AND c.fanned_out_at IS NULL"
REJECTED = "c.decided_by IS NOT NULL AND NOT c.notify"
DECISION = f"""
    CASE WHEN c.decided_by IS NULL THEN NULL
         WHEN c.notify THEN '{Decision.APPROVED}' ELSE '{Decision.REJECTED}' END
"""

LIST = text(f"""
    SELECT c.id, c.revision, {TOLD_AS} AS kind, c.at, c.held_at, c.audience_size AS people,
           e.id AS event_id, e.title, actor.id AS account_id, actor.name AS actor_name, actor.email AS actor_email
      FROM changes c JOIN events e ON e.id = c.event_id LEFT JOIN accounts actor ON actor.person_id = c.actor
     WHERE {HELD} AND (c.held_at, c.id) > (COALESCE(CAST(:since AS timestamptz), '-infinity'), CAST(:after AS bigint))
     ORDER BY c.held_at, c.id LIMIT :limit
""")

# Locked, so that of two admins one decides. With the lease cleared the dispatcher takes it at once.
DECIDE = text(f"""
    WITH c AS MATERIALIZED (SELECT * FROM changes c WHERE c.id = :id FOR UPDATE),
    decided AS (
        UPDATE changes SET held_at = NULL, lease_until = NULL, notify = changes.notify AND :approved,
               decided_by = COALESCE(CAST(:actor AS uuid), '{OPERATOR}'), decided_at = clock_timestamp()
          FROM c WHERE changes.id = c.id AND {HELD}
        RETURNING changes.id
    ), noted AS (
        INSERT INTO admin_actions (actor, action, detail)
        SELECT CAST(:actor AS uuid), CASE WHEN :approved THEN 'held.approve' ELSE 'held.reject' END,
               jsonb_build_object('change', c.id, 'event', c.event_id, 'revision', c.revision, 'held_at', c.held_at)
          FROM c JOIN decided ON decided.id = c.id
    )
    SELECT {DECISION} AS decision, EXISTS (SELECT FROM decided) AS decided FROM c
""")


def deciding(change: int, decision: Decision, actor: UUID | None) -> dict[str, Any]:
    """The values of `DECIDE`. Its row: `decided`, or an earlier `decision`; no row: there is no such change."""
    return {"id": change, "approved": decision == Decision.APPROVED, "actor": actor}


def undecidable(row: Any) -> str:
    """Why `DECIDE`, which gave this row or None, decided nothing, for people."""
    if row is None:
        return "there is no such change"
    if row.decision is not None:
        return f"it was {row.decision} already"
    return "it is not held"
