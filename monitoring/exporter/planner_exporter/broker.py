"""What Redis, as Celery's broker, knows: how many messages wait, and how near it is to its memory. One round trip."""

from collections.abc import Iterator

from planner_common.messages import Queue
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis import Redis

# Celery's Redis transport keeps a list per priority: the queue's name alone for 0, then with these endings.
PRIORITIES = {"0": "", "3": "\x06\x163", "6": "\x06\x166", "9": "\x06\x169"}
UNACKED = "unacked"  # its hash of messages taken and not acknowledged yet, of all queues together
SECTIONS = ("memory", "stats", "clients")


def measure(redis: Redis) -> Iterator[Metric]:
    """Raises redis.RedisError."""
    lists = [(queue, priority, f"{queue}{ending}") for queue in Queue for priority, ending in PRIORITIES.items()]
    with redis.pipeline(transaction=False) as pipeline:
        for *_, name in lists:
            pipeline.llen(name)
        pipeline.hlen(UNACKED)
        pipeline.info(*SECTIONS)
        *lengths, unacked, info = pipeline.execute()
    depth = GaugeMetricFamily("planner_queue_depth", "Messages waiting in the broker.", labels=["queue", "priority"])
    for (queue, priority, _), length in zip(lists, lengths, strict=True):
        depth.add_metric([queue, priority], length)
    yield depth
    yield GaugeMetricFamily("planner_queue_unacked", "Messages that workers took and did not acknowledge yet.", unacked)
    yield GaugeMetricFamily("planner_redis_memory_used_bytes", "What the broker's Redis holds.", info["used_memory"])
    yield GaugeMetricFamily("planner_redis_memory_limit_bytes", "Its maxmemory; 0: none.", info["maxmemory"])
    yield CounterMetricFamily(
        "planner_redis_evicted_keys", "Keys it dropped for want of memory, since it started.", info["evicted_keys"]
    )
    yield GaugeMetricFamily("planner_redis_clients", "Connections to it.", info["connected_clients"])
