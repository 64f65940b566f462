"""Fan-out: changes become notifications."""

from planner_common import metrics
from planner_common.changes import AUDIENCE
from planner_common.messages import Channel, Task
from sqlalchemy import bindparam, text
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
# - `done` looks at `told`, so that it is executed after it, and the time it notes is when the notifications were there.
# - The live streams are woken when the statement commits, and only if something was written for them.
FAN_OUT = text(f"""
    WITH due AS MATERIALIZED (
        SELECT id, event_id, kind, actor, notify FROM changes
         WHERE id = ANY(:change_ids) AND fanned_out_at IS NULL
         ORDER BY id FOR UPDATE SKIP LOCKED
    ), told AS (
        INSERT INTO notifications (change_id, person_id)
        SELECT change_id, person_id FROM ({AUDIENCE}) audience ORDER BY person_id
        ON CONFLICT (change_id, person_id) DO NOTHING
        RETURNING 1
    ), counted AS (
        SELECT count(*) AS notifications FROM told
    ), done AS (
        UPDATE changes SET fanned_out_at = clock_timestamp()
          FROM due, counted WHERE changes.id = due.id
        RETURNING changes.id, EXTRACT(epoch FROM changes.fanned_out_at - changes.at)::float AS lateness
    )
    SELECT counted.notifications, finished.lateness,
           CASE WHEN notifications > 0 THEN pg_notify('{Channel.NOTIFICATIONS}', finished.ids) END
      FROM counted, (SELECT array_agg(lateness) AS lateness, json_agg(id)::text AS ids FROM done) finished
""").bindparams(bindparam("change_ids", type_=ARRAY(BIGINT)))


# PostgreSQL being away is no defect of the task, hence no traceback: the lease redelivers.
@app.task(name=Task.FAN_OUT.value, throws=(OperationalError,))
def fan_out(change_ids: list[int]) -> dict[str, int]:
    """Write the notifications of these changes and mark them done.

    Returns how many changes were still due, and how many notifications were written.
    """
    with engine().connect() as connection:
        row = connection.execute(FAN_OUT, {"change_ids": change_ids}).one()
    lateness = row.lateness or []
    for seconds in lateness:
        metrics.notification_lateness.observe(seconds)
    metrics.notifications_written.inc(row.notifications)
    return {"changes": len(lateness), "notifications": row.notifications}
