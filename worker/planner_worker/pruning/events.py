"""Events that are gone, with all that belongs to them.

An event is marked first. From then on nobody sees it, and the audit leaves it out: between the transactions that follow
something or other of it is missing. What belongs to it goes before what it refers to: deliveries with their tries,
notifications, changes with their promotions, participants and mutes, the event. What is unfinished stays, and with it
the event, which a later run finds by its mark.
"""

from planner_common.canary import ORGANIZER
from planner_common.people import person_id
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from planner_worker.pruning import Run

DAY = 86_400
EVENTS = 200
"""Events that are pruned together."""
CANARY_SECONDS = DAY
"""The canary's events, of a day each, with thousands of answers, stay that long after their day."""

# Not while a change of it is still to be told, or is held back. An age that is NULL compares as unknown: none.
READY = """
    NOT e.purging AND NOT EXISTS (SELECT FROM changes c WHERE c.event_id = e.id AND c.fanned_out_at IS NULL)
"""
MARK = text(f"""
    WITH due AS (
        (SELECT e.id FROM events e
          WHERE e.deleted_at < now() - make_interval(secs => CAST(:deleted AS float)) AND {READY}
          ORDER BY e.deleted_at LIMIT :most)
        UNION ALL
        (SELECT e.id FROM events e
          WHERE e.ends_at < now() - make_interval(secs => CAST(:ended AS float))
            AND COALESCE(e.over_at, e.ends_at) < now() - make_interval(secs => CAST(:ended AS float))
            AND e.updated_at < now() - make_interval(secs => CAST(:ended AS float)) AND {READY}
          ORDER BY e.ends_at LIMIT :most)
        UNION ALL
        (SELECT e.id FROM accounts a JOIN events e ON e.organizer_id = a.id
          WHERE a.person_id = :canary AND e.ends_at < now() - make_interval(secs => :canary_age) AND {READY}
          LIMIT :most)
    ), locked AS MATERIALIZED (
        SELECT id FROM events WHERE id IN (SELECT id FROM due) ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE events e SET purging = true, deleted_at = COALESCE(e.deleted_at, now()) FROM locked WHERE e.id = locked.id
""")
MARKED = text("SELECT id FROM events WHERE purging ORDER BY id LIMIT :most")

# By the table that they empty, in this order.
STEPS = {
    "deliveries": """
        WITH old AS MATERIALIZED (
            SELECT d.id, d.change_id FROM changes c JOIN deliveries d ON d.change_id = c.id
             WHERE c.event_id = ANY(:events) AND c.id >= :after AND d.finished_at IS NOT NULL
             ORDER BY c.id LIMIT :batch FOR UPDATE OF d SKIP LOCKED
        ), tries AS (
            DELETE FROM delivery_attempts a USING old WHERE a.delivery_id = old.id
        ), gone AS (
            DELETE FROM deliveries d USING old WHERE d.id = old.id
        )
        SELECT count(*) AS rows, max(change_id) AS after FROM old
    """,
    "notifications": """
        WITH old AS MATERIALIZED (
            SELECT n.person_id, n.id, n.change_id FROM changes c JOIN notifications n ON n.change_id = c.id
             WHERE c.event_id = ANY(:events) AND c.id >= :after
               AND NOT EXISTS (SELECT FROM deliveries d WHERE d.change_id = n.change_id AND d.person_id = n.person_id)
             ORDER BY c.id LIMIT :batch FOR UPDATE OF n SKIP LOCKED
        ), gone AS (
            DELETE FROM notifications n USING old WHERE n.person_id = old.person_id AND n.id = old.id
        )
        SELECT count(*) AS rows, max(change_id) AS after FROM old
    """,
    "changes": """
        WITH old AS MATERIALIZED (
            SELECT c.id FROM changes c
             WHERE c.event_id = ANY(:events) AND c.id > :after AND c.fanned_out_at IS NOT NULL
               AND NOT EXISTS (SELECT FROM notifications n WHERE n.change_id = c.id)
               AND NOT EXISTS (SELECT FROM deliveries d WHERE d.change_id = c.id)
             ORDER BY c.id LIMIT :batch FOR UPDATE OF c SKIP LOCKED
        ), promoted AS (
            DELETE FROM promotions p USING old WHERE p.change_id = old.id
        ), gone AS (
            DELETE FROM changes c USING old WHERE c.id = old.id
        )
        SELECT count(*) AS rows, max(id) AS after FROM old
    """,
    "participants": """
        WITH old AS MATERIALIZED (
            SELECT p.id, p.since_change FROM participants p
             WHERE p.event_id = ANY(:events) AND p.since_change >= :after
               AND NOT EXISTS (SELECT FROM changes c WHERE c.event_id = p.event_id)
             ORDER BY p.since_change LIMIT :batch FOR UPDATE OF p SKIP LOCKED
        ), gone AS (
            DELETE FROM participants p USING old WHERE p.id = old.id
        )
        SELECT count(*) AS rows, max(since_change) AS after FROM old
    """,
    "mutes": """
        WITH gone AS (
            DELETE FROM mutes WHERE id IN (
                SELECT m.id FROM mutes m
                 WHERE m.event_id = ANY(:events) AND NOT EXISTS (SELECT FROM changes c WHERE c.event_id = m.event_id)
                 LIMIT :batch FOR UPDATE OF m SKIP LOCKED
            )
            RETURNING 1
        )
        SELECT count(*) AS rows, 0 AS after FROM gone
    """,
    "events": """
        WITH gone AS (
            DELETE FROM events e
             WHERE e.id = ANY(:events) AND NOT EXISTS (SELECT FROM changes c WHERE c.event_id = e.id)
               AND NOT EXISTS (SELECT FROM participants p WHERE p.event_id = e.id)
               AND NOT EXISTS (SELECT FROM mutes m WHERE m.event_id = e.id)
            RETURNING 1
        )
        SELECT count(*) AS rows, 0 AS after FROM gone
    """,
}
STATEMENTS = {table: text(sql).bindparams(bindparam("events", type_=ARRAY(PG_UUID))) for table, sql in STEPS.items()}


def prune(run: Run) -> None:
    values = {
        "deleted": run.settings.deleted_event_days * DAY or None,
        "ended": run.settings.event_days * DAY or None,
        "canary": person_id(ORGANIZER),
        "canary_age": CANARY_SECONDS,
        "most": EVENTS,
    }
    more = True
    while more and not run.is_over:
        more = run.connection.execute(MARK, values).rowcount > 0
        events = list(run.connection.execute(MARKED, {"most": EVENTS}).scalars())
        if not events:
            return
        for table, statement in STATEMENTS.items():
            run.batches(table, statement, events=events, after=0)
