"""How Planner is, in statements that the exporter asks at each scrape and `planner doctor` asks once.

They take milliseconds however many rows there are, in a session that is set to `libpq.BY_INDEX`. They are plain text,
for the exporter does without SQLAlchemy.
"""

from importlib.resources import files

from planner_common.deliveries import Lane
from planner_common.messages import Queue

LANES = {Queue.DELIVER_URGENT: Lane.URGENT, Queue.DELIVER: Lane.NORMAL, Queue.DELIVER_BULK: Lane.BULK}
COUNTED = 10_000
"""Up to how many rows are counted of each sort, so that a scrape takes milliseconds however many there are."""
DUE_COUNTED = 1_000
"""The same of deliveries that are due. In the order in which they are due they lie anywhere: each costs a page."""

# By queue: how many rows wait for what goes through it, and for how many seconds the oldest. Partial indexes hold just
# these rows. What an admin holds waits for nobody else, and what is put off is not due.
BACKLOG = f"""
    SELECT '{Queue.FAN_OUT}' AS work, count(*) AS number,
           EXTRACT(epoch FROM clock_timestamp() - min(COALESCE(decided_at, at))) AS seconds
      FROM (
          SELECT at, decided_at FROM changes WHERE fanned_out_at IS NULL AND held_at IS NULL ORDER BY id LIMIT {COUNTED}
      ) due
    UNION ALL
    SELECT lane.work, due.number, due.seconds
      FROM (VALUES {", ".join(f"('{queue}', {lane.value}::smallint)" for queue, lane in LANES.items())})
           lane (work, lane)
     CROSS JOIN LATERAL (
         SELECT count(*) AS number, EXTRACT(epoch FROM clock_timestamp() - min(due_at)) AS seconds
           FROM (
               SELECT due_at FROM deliveries d
                WHERE d.finished_at IS NULL AND d.lane = lane.lane AND d.due_at <= now()
                ORDER BY d.due_at LIMIT {DUE_COUNTED}
           ) due
     ) due
"""
# In the order of the index that is meant; without it all that is due would do, and be gone through.
SEEN = f"""
    SELECT (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'dead' LIMIT {COUNTED}) x) AS dead,
           (SELECT count(*) FROM (SELECT FROM deliveries WHERE outcome_unknown LIMIT {COUNTED}) x) AS unknown,
           (SELECT count(*) FROM (
               SELECT FROM changes WHERE held_at IS NOT NULL AND fanned_out_at IS NULL ORDER BY held_at LIMIT {COUNTED}
            ) x) AS held,
           (SELECT EXTRACT(epoch FROM clock_timestamp() - held_at) FROM changes
             WHERE held_at IS NOT NULL AND fanned_out_at IS NULL ORDER BY held_at LIMIT 1) AS held_seconds
"""
AUDITED = """
    SELECT violations, EXTRACT(epoch FROM clock_timestamp() - at) AS seconds FROM audits ORDER BY id DESC LIMIT 1
"""

HEAD = max(file.name.partition("_")[0] for file in files("planner_common.migrations.versions").iterdir())
"""The version that this code needs, as `planner_common.schema.head` finds it by Alembic, which the exporter has not."""

VERSION = "SELECT version_num FROM alembic_version"
# Of other users one sees neither state nor kind without being allowed to.
DATABASE = """
    SELECT pg_database_size(current_database()) AS size,
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - current_setting('reserved_connections')::int AS connections_limit,
           (SELECT array_agg(state) FROM pg_stat_activity
             WHERE datid IS NOT NULL AND COALESCE(backend_type, 'client backend') = 'client backend') AS connections
"""
