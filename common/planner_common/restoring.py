"""After a restore from a backup: what was unfinished in it may have been sent between the backup and the loss.

Nobody can know, so none of it is sent by itself. Its deliveries are quarantined: dead, for an admin to look through and
to replay. Changes that were not fanned out yet are told in the inbox, where it does no harm to be told again, and their
deliveries are born quarantined (`fan_out` looks at `restores`).

A database that was restored by dump and restore shows it by its birthmark: `planner migrate`, which runs before every
start, sees that and does the same. A copy of the files, or a moment that was replayed from the log, looks like the
original: there it takes `planner restored`.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from planner_common.deliveries import Outcome, Reason, State

# The low half of a transaction's id is what its rows carry as xmin. Neither vacuuming nor pg_upgrade changes that.
MARKED = text("""
    SELECT tableoid::bigint = oid AND xmin::text::bigint = transaction & 4294967295 AS original FROM birthmarks
""")
MARK = text("""
    WITH old AS (DELETE FROM birthmarks)
    INSERT INTO birthmarks (transaction, oid)
    SELECT pg_current_xact_id()::text::bigint, 'birthmarks'::regclass::oid::bigint
""")

LIVING = text("""
    SELECT DISTINCT application_name FROM pg_stat_activity
     WHERE datname = current_database()
       AND application_name IN ('planner-api', 'planner-api-streams', 'planner-dispatcher', 'planner-worker')
     ORDER BY 1
""")

# - Whoever still holds a claim from before holds it no more.
# - A try that was under way in the backup has ended somehow.
# - Changes that are held, too: an admin may have let them go.
# - Answered with what it found; written down only if that is not what the last time was answered with: doing it twice
#   is harmless.
NOTE = text(f"""
    WITH tried AS (
        UPDATE delivery_attempts a
           SET outcome = '{Outcome.UNKNOWN}', finished_at = clock_timestamp(),
               detail = 'Planner was restored from a backup of that moment: the message may have been accepted.'
          FROM deliveries d WHERE d.finished_at IS NULL AND a.delivery_id = d.id AND a.outcome IS NULL
    ), quarantined AS (
        UPDATE deliveries
           SET state = '{State.DEAD}', reason = '{Reason.QUARANTINED}', finished_at = clock_timestamp(),
               claims = claims + 1, sending = false, lease_until = NULL, outcome_unknown = true
         WHERE finished_at IS NULL
        RETURNING 1
    ), freed AS (
        UPDATE changes SET lease_until = NULL WHERE fanned_out_at IS NULL AND lease_until IS NOT NULL
    ), gone AS (
        DELETE FROM processes
    ), found AS (
        SELECT (SELECT count(*) FROM quarantined) AS quarantined,
               (SELECT count(*) FROM changes WHERE fanned_out_at IS NULL) AS changes,
               (SELECT COALESCE(max(id), 0) FROM changes) AS last_change,
               (SELECT COALESCE(max(last_change), -1) FROM restores) AS noted
    ), noted AS (
        INSERT INTO restores (last_change, quarantined, changes)
        SELECT last_change, quarantined, changes FROM found WHERE quarantined > 0 OR last_change > noted
        RETURNING id
    ), told AS (
        INSERT INTO admin_actions (actor, action, detail)
        SELECT NULL, 'restored', jsonb_build_object('restore', noted.id, 'quarantined', quarantined, 'changes', changes)
          FROM noted, found
    )
    SELECT quarantined, changes, EXISTS (SELECT FROM noted) AS is_new FROM found
""")

# Of changes `c`: whether they were in a backup that the database was restored from, and told to nobody yet.
QUARANTINED = "c.id <= (SELECT COALESCE(max(last_change), -1) FROM restores)"


@dataclass(frozen=True, slots=True)
class Noted:
    quarantined: int
    """Deliveries that were unfinished."""
    changes: int
    """That are not fanned out, or held: their deliveries will be quarantined."""
    is_new: bool
    """Whether it was written down: not if it was all so before."""

    def __str__(self) -> str:
        return (
            f"{self.quarantined} deliveries are quarantined, and those of {self.changes} changes will be"
            if self.is_new
            else "nothing is new to quarantine"
        )


def living(connection: Connection) -> list[str]:
    """Which services are connected, by their names in `pg_stat_activity`."""
    return list(connection.execute(LIVING).scalars())


def note(connection: Connection) -> Noted:
    """Quarantine what is unfinished, and write down that the database was restored. No service may run.

    In the caller's transaction, however long it takes.
    """
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    row = connection.execute(NOTE).one()
    connection.execute(MARK)
    return Noted(row.quarantined, row.changes, row.is_new)


def keep_birthmark(connection: Connection) -> Noted | None:
    """Give a database that has none its birthmark. If it has another's it was restored: do what is to be done then."""
    original = connection.scalar(MARKED)
    if original is None:
        connection.execute(MARK)
    return note(connection) if original is False else None
