"""What the exporter measures: queues in Redis, what PostgreSQL knows. Unknown is not zero: a failure raises."""

from collections.abc import Iterator

from planner_common.deliveries import Lane
from planner_common.messages import Queue
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from sqlalchemy import Connection, Engine, text

# Celery's Redis transport keeps a list per priority: the queue's name alone for 0, then with these endings.
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
UNACKED = "unacked"  # its hash of messages taken and not acknowledged yet, of all queues together

LANES = {Queue.DELIVER_URGENT: Lane.URGENT, Queue.DELIVER: Lane.NORMAL, Queue.DELIVER_BULK: Lane.BULK}
COUNTED = 10_000
"""Up to how many rows are counted of each sort, so that a scrape takes milliseconds however many there are."""

# By queue: how many rows wait for what goes through it, and for how many seconds the oldest. Partial indexes hold just
# these rows. What an admin holds waits for nobody else, and what is put off is not due.
BACKLOG = text(f"""
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
                ORDER BY d.due_at LIMIT {COUNTED}
           ) due
     ) due
""")
SEEN = text(f"""
    SELECT (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'dead' LIMIT {COUNTED}) x) AS dead,
           (SELECT count(*) FROM (SELECT FROM deliveries WHERE outcome_unknown LIMIT {COUNTED}) x) AS unknown,
           (SELECT count(*) FROM (
               SELECT FROM changes WHERE held_at IS NOT NULL AND fanned_out_at IS NULL LIMIT {COUNTED}
            ) x) AS held,
           (SELECT EXTRACT(epoch FROM clock_timestamp() - held_at) FROM changes
             WHERE held_at IS NOT NULL AND fanned_out_at IS NULL ORDER BY held_at LIMIT 1) AS held_seconds
""")
AUDITED = text("""
    SELECT violations, EXTRACT(epoch FROM clock_timestamp() - at) AS seconds FROM audits ORDER BY id DESC LIMIT 1
""")


class Measurements(Collector):
    """Asks Redis and PostgreSQL anew at each scrape: one round trip to Redis, three to PostgreSQL."""

    def __init__(self, redis: Redis, engine: Engine) -> None:
        self.redis = redis
        self.engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Raises redis.RedisError or sqlalchemy.exc.SQLAlchemyError when one of them cannot be asked."""
        yield from self.queues()
        with self.engine.connect() as connection:
            yield from self.backlog(connection)
            yield from self.seen(connection)
            yield from self.audited(connection)

    def queues(self) -> list[GaugeMetricFamily]:
        depth = GaugeMetricFamily("planner_queue_depth", "Messages waiting in the broker.", labels=["queue"])
        with self.redis.pipeline(transaction=False) as pipeline:
            for queue in Queue:
                for priority in PRIORITIES:
                    pipeline.llen(f"{queue}{priority}")
            pipeline.hlen(UNACKED)
            *lengths, unacked = pipeline.execute()
        step = len(PRIORITIES)
        for number, queue in enumerate(Queue):
            depth.add_metric([queue], sum(lengths[number * step : (number + 1) * step]))
        return [
            depth,
            GaugeMetricFamily(
                "planner_queue_unacked", "Messages that workers took and did not acknowledge yet.", unacked
            ),
        ]

    def backlog(self, connection: Connection) -> list[GaugeMetricFamily]:
        waiting = GaugeMetricFamily(
            "planner_backlog", f"Rows that are due, by the queue they go through; up to {COUNTED:,}.", labels=["work"]
        )
        oldest = GaugeMetricFamily(
            "planner_backlog_oldest_seconds", "How long the oldest of them has been due.", labels=["work"]
        )
        for row in connection.execute(BACKLOG):
            waiting.add_metric([row.work], row.number)
            oldest.add_metric([row.work], row.seconds or 0)
        return [waiting, oldest]

    def seen(self, connection: Connection) -> list[GaugeMetricFamily]:
        row = connection.execute(SEEN).one()
        return [
            GaugeMetricFamily("planner_changes_held", "Changes that wait for an admin.", row.held),
            GaugeMetricFamily(
                "planner_changes_held_oldest_seconds", "How long the oldest of them has waited.", row.held_seconds or 0
            ),
            GaugeMetricFamily(
                "planner_deliveries_dead", f"Deliveries that were given up; up to {COUNTED:,}.", row.dead
            ),
            GaugeMetricFamily(
                "planner_deliveries_outcome_unknown",
                f"Deliveries that may have been sent more than once; up to {COUNTED:,}.",
                row.unknown,
            ),
        ]

    def audited(self, connection: Connection) -> list[GaugeMetricFamily]:
        """Of the newest audit; without one there are no samples."""
        violations = GaugeMetricFamily(
            "planner_audit_violations", "Faults that the last audit found.", labels=["invariant"]
        )
        age = GaugeMetricFamily("planner_audit_age_seconds", "How long ago that was.")
        for row in connection.execute(AUDITED):
            age.add_metric([], row.seconds)
            for invariant, number in row.violations.items():
                violations.add_metric([invariant], number)
        return [violations, age]
