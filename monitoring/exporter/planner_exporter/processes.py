"""Who lives, by the processes' own word."""

from collections.abc import Iterator

from planner_common.messages import Queue
from planner_common.presence import ALIVE_SECONDS, SERVICES
from prometheus_client.core import GaugeMetricFamily

from planner_exporter.session import Session

ALIVE = f"""
    SELECT service, queues FROM processes WHERE seen_at > clock_timestamp() - interval '{ALIVE_SECONDS} seconds'
"""


def measure(session: Session) -> Iterator[GaugeMetricFamily]:
    """Raises psycopg.Error."""
    processes, consumers = dict.fromkeys(SERVICES, 0), dict.fromkeys(Queue, 0)
    for row in session.rows(ALIVE):
        processes[row.service] = processes.get(row.service, 0) + 1
        for queue in consumers.keys() & row.queues:
            consumers[queue] += 1
    alive = GaugeMetricFamily(
        "planner_processes",
        f"Processes that said within the last {ALIVE_SECONDS} s that they live.",
        labels=["service"],
    )
    for service, number in processes.items():
        alive.add_metric([service], number)
    consumed = GaugeMetricFamily("planner_queue_consumers", "Workers among them that take from it.", labels=["queue"])
    for queue, number in consumers.items():
        consumed.add_metric([queue], number)
    yield alive
    yield consumed
