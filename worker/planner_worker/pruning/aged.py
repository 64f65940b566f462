"""What is older than the settings say: deliveries with their tries, notifications, what admins did.

None of it is looked for by its age, which would take an index more in the largest tables. Ids of deliveries begin with
the time at which they were made, and notifications have an index that begins with their change: what is old is at the
beginning of an index that is there anyway, and the walk along it ends at the first that can't be old enough.

Who recomputes what should be there (the audit) must know how far this has gone, so the horizon is moved first.
"""

from datetime import datetime
from uuid import UUID

from planner_common.deliveries import State
from sqlalchemy import text

from planner_worker.pruning import Run

DAY = 86_400
FIRST_ID = UUID(int=0)

MOVE_HORIZON = text("""
    INSERT INTO horizons (name, at) VALUES (:name, now() - make_interval(secs => :age))
    ON CONFLICT (name) DO UPDATE SET at = GREATEST(horizons.at, EXCLUDED.at)
""")
NOW = text("SELECT now()")

# Of what was replayed, what is dead and what is unfinished, there is old that stays: it is passed once in a run. An age
# that is NULL compares as unknown: nothing is old enough.
DELIVERIES = text(f"""
    WITH old AS MATERIALIZED (
        SELECT id FROM deliveries
         WHERE id > :after AND id < :newest
           AND (state IN ('{State.SENT}', '{State.SUPERSEDED}')
                AND finished_at < now() - make_interval(secs => CAST(:finished AS float))
                OR state = '{State.DEAD}' AND finished_at < now() - make_interval(secs => CAST(:dead AS float)))
         ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    ), tries AS (
        DELETE FROM delivery_attempts a USING old WHERE a.delivery_id = old.id
    ), gone AS (
        DELETE FROM deliveries d USING old WHERE d.id = old.id
    )
    SELECT count(*) AS rows, (SELECT id FROM old ORDER BY id DESC LIMIT 1) AS after FROM old
""")

# The newest change that can be old enough, give or take one that was held back for long and let go.
NEWEST_CHANGE = text("""
    SELECT max(id) FROM (
        SELECT id FROM changes WHERE fanned_out_at < now() - make_interval(secs => :age)
         ORDER BY fanned_out_at DESC LIMIT 100
    ) last
""")
NOTIFICATIONS = text("""
    WITH old AS MATERIALIZED (
        SELECT n.person_id, n.id, n.change_id FROM notifications n JOIN changes c ON c.id = n.change_id
         WHERE n.change_id >= :after AND n.change_id <= :newest
           AND c.fanned_out_at < now() - make_interval(secs => :age)
         ORDER BY n.change_id LIMIT :batch FOR UPDATE OF n SKIP LOCKED
    ), gone AS (
        DELETE FROM notifications n USING old WHERE n.person_id = old.person_id AND n.id = old.id
    )
    SELECT count(*) AS rows, max(change_id) AS after FROM old
""")

ADMIN_ACTIONS = text("""
    WITH old AS MATERIALIZED (
        SELECT id FROM admin_actions
         WHERE id > :after AND id < :newest AND at < now() - make_interval(secs => :age)
         ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM admin_actions a USING old WHERE a.id = old.id
    )
    SELECT count(*) AS rows, (SELECT id FROM old ORDER BY id DESC LIMIT 1) AS after FROM old
""")


def prune(run: Run) -> None:
    settings = run.settings
    now: datetime = run.connection.execute(NOW).scalar_one()
    finished, dead = settings.delivery_days * DAY or None, settings.dead_days * DAY or None
    if ages := [age for age in (finished, dead) if age]:
        run.connection.execute(MOVE_HORIZON, {"name": "deliveries", "age": min(ages)})
        newest = made_before(now, min(ages))
        run.batches("deliveries", DELIVERIES, after=FIRST_ID, newest=newest, finished=finished, dead=dead)
    if age := settings.notification_days * DAY:
        run.connection.execute(MOVE_HORIZON, {"name": "notifications", "age": age})
        newest_change = run.connection.scalar(NEWEST_CHANGE, {"age": age})
        run.batches("notifications", NOTIFICATIONS, after=0, newest=newest_change, age=age)
    if age := settings.admin_action_days * DAY:
        run.batches("admin_actions", ADMIN_ACTIONS, after=FIRST_ID, newest=made_before(now, age), age=age)


def made_before(now: datetime, age: float) -> UUID:
    """The first UUIDv7 that can have been made so many seconds ago (RFC 9562 §5.7)."""
    return UUID(int=int((now.timestamp() - age) * 1000) << 80)
