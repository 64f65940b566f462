"""What the exporter measures, a module for each noun. Unknown is not zero: a failure raises."""

import time
from collections.abc import Iterator

from planner_common.vitals import HEAD
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from sqlalchemy import Engine

from planner_exporter import backlog, broker, database, processes


class Measurements(Collector):
    """Asks Redis and PostgreSQL anew at each scrape: one round trip to Redis, some more to PostgreSQL."""

    def __init__(self, redis: Redis, engine: Engine) -> None:
        self.redis = redis
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")  # nothing but SELECTs
        self.asked = ""
        """Who is being asked, or was last: whose fault it is if there is no answer."""

    def collect(self) -> Iterator[Metric]:
        """Raises redis.RedisError or sqlalchemy.exc.SQLAlchemyError when one of them cannot be asked."""
        began = time.perf_counter()
        self.asked = "Redis"
        yield from broker.measure(self.redis)
        self.asked = "PostgreSQL"
        with self.engine.connect() as connection:
            schema = database.version(connection)
            if schema != HEAD:  # why a table may be missing
                self.asked = f"PostgreSQL, at version {schema} where this code needs {HEAD}"
            yield from database.measure(connection, schema)
            yield from backlog.measure(connection)
            yield from processes.measure(connection)
        seconds = time.perf_counter() - began
        yield GaugeMetricFamily("planner_exporter_scrape_duration_seconds", "Time that this scrape took.", seconds)
