"""When events ended, for rows of participants from before they knew it: until then nothing passes them over.

Nothing goes by it. What was written since version 0004 of the tables knows its end, so one day there is nothing left.
"""

from sqlalchemy import text

from planner_worker.pruning import Run

# The event is locked, too: one that is moved meanwhile has another end.
ENDED = text("""
    WITH old AS MATERIALIZED (
        SELECT p.id, p.event_id, COALESCE(e.over_at, e.ends_at) AS ends_at
          FROM participants p JOIN events e ON e.id = p.event_id
         WHERE p.ends_at = 'infinity' AND p.event_id >= :after AND COALESCE(e.over_at, e.ends_at) < now()
         ORDER BY p.event_id LIMIT :batch FOR UPDATE OF p SKIP LOCKED FOR SHARE OF e SKIP LOCKED
    ), known AS (
        UPDATE participants p SET ends_at = old.ends_at FROM old WHERE p.id = old.id
    )
    SELECT count(*) AS rows, (array_agg(event_id ORDER BY event_id DESC))[1] AS after FROM old
""")


def prune(run: Run) -> None:
    run.batches("ends", ENDED, after="00000000-0000-0000-0000-000000000000")
