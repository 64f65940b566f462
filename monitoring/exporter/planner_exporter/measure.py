"""What the exporter measures: queues in Redis, the backlog in PostgreSQL. Unknown is not zero: a failure raises."""

from collections.abc import Iterator

from planner_common.messages import Queue
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from sqlalchemy import Engine, text

# Celery's Redis transport keeps a list per priority: the queue's name alone for 0, then with these endings.
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
UNACKED = "unacked"  # its hash of messages taken and not acknowledged yet, of all queues together

# `work` → how many rows wait, and for how many seconds the oldest. A partial index holds just these rows.
BACKLOG = {
    "fan_out": text("""
        SELECT count(*), COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(at)), 0)::float
          FROM changes WHERE fanned_out_at IS NULL
    """)
}


class Measurements(Collector):
    """Asks Redis and PostgreSQL anew at each scrape: one round trip to Redis, one to PostgreSQL per kind of work."""

    def __init__(self, redis: Redis, engine: Engine) -> None:
        self.redis = redis
        self.engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Raises redis.RedisError or sqlalchemy.exc.SQLAlchemyError when one of them cannot be asked."""
        yield from self.queues()
        yield from self.backlog()

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

    def backlog(self) -> list[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("planner_backlog", "Rows that wait to be worked on.", labels=["work"])
        oldest = GaugeMetricFamily(
            "planner_backlog_oldest_seconds", "How long the oldest of them has waited.", labels=["work"]
        )
        with self.engine.connect() as connection:
            for work, statement in BACKLOG.items():
                number, seconds = connection.execute(statement).one()
                waiting.add_metric([work], number)
                oldest.add_metric([work], seconds)
        return [waiting, oldest]
