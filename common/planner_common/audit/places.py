"""Whether the places of events are as they must be: no more taken than there are, none free while somebody waits."""

from planner_common.audit.scope import IN_SCOPE, Scope


def faults(_scope: Scope) -> str:
    """Rows of `snapshot.COLUMNS`: a fault is named by the last change of its event."""
    return f"""
        WITH looked AS (
            SELECT c.event_id, max(c.id) AS change_id FROM changes c WHERE {IN_SCOPE} GROUP BY c.event_id
        ), places AS (
            SELECT looked.change_id, e.capacity, taken.number AS taken, taken.waiting
              FROM looked JOIN events e ON e.id = looked.event_id AND NOT e.purging
             CROSS JOIN LATERAL (
                 SELECT count(*) FILTER (WHERE p.response = 'accepted') AS number, count(p.waiting_since) AS waiting
                   FROM participants p WHERE p.event_id = e.id AND p.until_change IS NULL
             ) taken
             WHERE e.capacity IS NOT NULL OR e.id IN (
                 SELECT p.event_id FROM participants p WHERE p.waiting_since IS NOT NULL AND p.until_change IS NULL
             )
        )
        SELECT CASE WHEN taken > capacity THEN 'overbooked' ELSE 'place_unused' END AS name, change_id,
               NULL::uuid AS person_id, NULL::uuid AS channel_id, NULL::uuid AS delivery_id, NULL::float AS seconds
          FROM places
         WHERE taken > capacity OR (waiting > 0 AND (taken < capacity) IS NOT FALSE)
    """
