"""Which notifications are due, by the auditor's reckoning, and which are missing or too many."""

from planner_common.audit.scope import IN_SCOPE, Scope, kept

# Sets of (change, person), put together and taken from one another: those who come by the change, those who go by it,
# those who have a place by it, those within whose stay in the event it lies, whoever organizes it; but for the one who
# made it. `DUE_IN` is for what
# is kept in a table: what was pruned from there is not due.
DUE_IN = f"""
    WITH looked AS (
        SELECT c.id, c.event_id, c.kind, c.actor FROM changes c
         WHERE c.notify AND c.fanned_out_at IS NOT NULL AND {IN_SCOPE} AND {{kept}}
    )
    SELECT looked.id AS change_id, p.person_id
      FROM looked JOIN participants p ON (p.event_id, p.since_change) = (looked.event_id, looked.id)
     WHERE looked.kind IN ('creation', 'invitation')
    UNION
    SELECT looked.id, p.person_id
      FROM looked JOIN participants p ON (p.event_id, p.until_change) = (looked.event_id, looked.id)
     WHERE looked.kind = 'removal'
    UNION
    SELECT looked.id, promoted.person_id
      FROM looked JOIN promotions promoted ON promoted.change_id = looked.id
     WHERE looked.kind = 'promotion'
    UNION
    SELECT looked.id, p.person_id
      FROM looked JOIN participants p USING (event_id)
     WHERE looked.kind IN ('update', 'reschedule', 'cancellation', 'restoration')
       AND int8range(p.since_change, p.until_change, '()') @> looked.id
    UNION
    SELECT looked.id, organizer.person_id
      FROM looked JOIN events e ON e.id = looked.event_id JOIN accounts organizer ON organizer.id = e.organizer_id
     WHERE looked.kind NOT IN ('creation', 'invitation', 'removal', 'promotion', 'deletion')
    EXCEPT
    SELECT looked.id, looked.actor FROM looked
"""
DUE = DUE_IN.format(kept=kept("notifications"))


def faults(scope: Scope) -> str:
    """Rows of `snapshot.COLUMNS`, by the names of invariants."""
    return f"""
        SELECT CASE WHEN due.change_id IS NULL THEN 'notification_extra' ELSE 'notification_missing' END AS name,
               change_id, person_id, NULL::uuid AS channel_id, NULL::uuid AS delivery_id, NULL::float AS seconds
          FROM ({DUE}) due
          FULL JOIN (
              SELECT t.change_id, t.person_id
                FROM {scope.rows("notifications")} AND {scope.kept("notifications")}
          ) there
         USING (change_id, person_id)
         WHERE due.change_id IS NULL OR there.change_id IS NULL
    """
