"""Fan-out: changes become notifications, and deliveries by the routes of those who are told."""

from functools import lru_cache

from planner_common import metrics
from planner_common.changes import AUDIENCE
from planner_common.deliveries import LANE, ROUTED, Reason, State
from planner_common.messages import Channel, Task
from planner_common.restoring import QUARANTINED
from planner_common.settings import get_settings
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from sqlalchemy.exc import OperationalError

from planner_worker.app import app
from planner_worker.database import engine

# One statement, so one transaction and one round trip for all the changes of a message:
# - `due` locks the changes that still wait. One that another worker has in hand is skipped, one that is done is left
#   out: doing it twice, or twice at once, adds nothing. The dispatcher skips locked rows too, so the lock takes over
#   from the lease while the work goes on, however long it takes.
# - `told` writes. A person may be in an audience twice, and a change may have been half told by hand: no conflict is an
#   error. In the order of two of the three indexes, which costs half as much as the order of the participants.
# - `delivery` writes where else each of these goes. The dispatcher is woken for it. What a backup, from which the
#   database was restored, had not told yet is quarantined.
# - `done` looks at `told`, so that it is executed after it, and the time it notes is when the notifications were there.
# - The live streams are woken when the statement commits, and only if something was written for them.
FAN_OUT = f"""
    WITH due AS MATERIALIZED (
        SELECT id, event_id, kind, actor, notify FROM changes
         WHERE id = ANY(:change_ids) AND fanned_out_at IS NULL AND held_at IS NULL
         ORDER BY id FOR UPDATE SKIP LOCKED
    ), told AS (
        INSERT INTO notifications (change_id, person_id)
        SELECT change_id, person_id FROM ({AUDIENCE}) audience ORDER BY person_id
        ON CONFLICT (change_id, person_id) DO NOTHING
        RETURNING {{told}}
    ), counted AS (
        SELECT count(*) AS notifications FROM told
    ), {{delivery}}, done AS (
        UPDATE changes SET fanned_out_at = clock_timestamp(), email_on = :email_on
          FROM due, counted WHERE changes.id = due.id
        RETURNING changes.id, EXTRACT(
            epoch FROM changes.fanned_out_at - COALESCE(changes.decided_at, changes.at)
        )::float AS lateness
    )
    SELECT counted.notifications, finished.lateness, delivered.deliveries,
           CASE WHEN notifications > 0 THEN pg_notify('{Channel.NOTIFICATIONS}', finished.ids) END,
           CASE WHEN deliveries > 0 THEN pg_notify('{Channel.CHANGES}', '') END
      FROM counted, delivered, (SELECT array_agg(lateness) AS lateness, json_agg(id)::text AS ids FROM done) finished
"""
DELIVERY = f"""
    delivery AS (
        INSERT INTO deliveries
               (change_id, person_id, channel_id, type, lane, state, reason, finished_at, outcome_unknown)
        SELECT routed.change_id, routed.person_id, routed.channel_id, routed.type, c.lane,
               CASE WHEN c.quarantined THEN '{State.DEAD}' ELSE '{State.PENDING}' END,
               CASE WHEN c.quarantined THEN '{Reason.QUARANTINED}' END,
               CASE WHEN c.quarantined THEN clock_timestamp() END, c.quarantined
          FROM ({ROUTED}) routed
          JOIN (
              SELECT c.id, {LANE} AS lane, {QUARANTINED} AS quarantined
                FROM due JOIN changes c ON c.id = due.id JOIN events e ON e.id = c.event_id
          ) c ON c.id = routed.change_id
        ON CONFLICT (change_id, person_id, channel_id) DO NOTHING
        RETURNING 1
    ), delivered AS (
        SELECT count(*) AS deliveries FROM delivery
    )
"""
# Where e-mail is not set up and nobody has a channel, the notifications need not be gone through once more.
NO_DELIVERY = "delivered AS (SELECT 0 AS deliveries)"
ROUTES_EXIST = text("SELECT EXISTS (SELECT FROM routes WHERE type <> 'email')")


@lru_cache(maxsize=2)
def statement(*, delivering: bool) -> TextClause:
    sql = FAN_OUT.format(
        told="change_id, person_id" if delivering else "1", delivery=DELIVERY if delivering else NO_DELIVERY
    )
    return text(sql).bindparams(bindparam("change_ids", type_=ARRAY(BIGINT)))


# PostgreSQL being away is no defect of the task, hence no traceback: the lease redelivers.
@app.task(name=Task.FAN_OUT.value, throws=(OperationalError,))
def fan_out(change_ids: list[int]) -> dict[str, int]:
    """Write the notifications of these changes, with their deliveries, and mark them done.

    Returns how many changes were still due, and how many notifications and deliveries were written.
    """
    email_on = get_settings().smtp_url is not None
    with engine().connect() as connection:
        delivering = email_on or bool(connection.scalar(ROUTES_EXIST))
        values = {"change_ids": change_ids, "email_on": email_on}
        row = connection.execute(statement(delivering=delivering), values).one()
    lateness = row.lateness or []
    for seconds in lateness:
        metrics.notification_lateness.observe(seconds)
    metrics.notifications_written.inc(row.notifications)
    return {"changes": len(lateness), "notifications": row.notifications, "deliveries": row.deliveries}
