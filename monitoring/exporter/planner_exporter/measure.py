"""What the exporter measures, a module for each noun. Unknown is not zero: a failure raises."""

import time
from collections.abc import Iterator

from planner_common.vitals import HEAD
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis

from planner_exporter import backlog, broker, database, processes
from planner_exporter.session import Session


class Measurements(Collector):
    """Asks Redis and PostgreSQL anew at each scrape: one round trip to Redis, some more to PostgreSQL."""

    def __init__(self, redis: Redis, session: Session) -> None:
        self.redis = redis
        self.session = session
        self.asked = ""
        """Who is being asked, or was last: whose fault it is if there is no answer."""

    def collect(self) -> Iterator[Metric]:
        """Raises redis.RedisError or psycopg.Error when one of them cannot be asked."""
        began = time.perf_counter()
        self.asked = "Redis"
        yield from broker.measure(self.redis)
        self.asked = "PostgreSQL"
        self.session.open()
        schema = database.version(self.session)
        if schema != HEAD:  # why a table may be missing
            self.asked = f"PostgreSQL, at version {schema} where this code needs {HEAD}"
        yield from database.measure(self.session, schema)
        yield from backlog.measure(self.session)
        yield from processes.measure(self.session)
        seconds = time.perf_counter() - began
        yield GaugeMetricFamily("planner_exporter_scrape_duration_seconds", "Time that this scrape took.", seconds)
