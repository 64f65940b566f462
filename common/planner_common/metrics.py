"""The catalogue of every metric that a service counts itself. What the exporter measures is in the exporter.

Where a service has several processes, `planner_common.multiprocess` decides where the numbers are kept when this module
is imported, so it comes first. No label takes its value from a user: see `KNOWN`, and for the API its routes.
"""

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from itertools import product

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from planner_common.deliveries import ChannelType, Outcome, Reason, State
from planner_common.messages import Queue, Task

disable_created_metrics()

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LATENESS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

http_requests = Counter(
    "planner_http_requests", "Requests answered, by route template; with status 0: the client left first.",
    ["method", "route", "status"],
)  # fmt: skip
http_request_seconds = Histogram(
    "planner_http_request_duration_seconds", "Time to answer a request, live streams left out.", ["method", "route"],
    buckets=SECONDS,
)  # fmt: skip
rate_limited = Counter("planner_http_rate_limited", "Requests refused with 429.", ["route"])
cache_reads = Counter(
    "planner_cache_reads",
    "Reads of the answer cache, by what came of them: near (it was in the process), hit, miss, error (Redis was away).",
    ["result"],
)
streams = Gauge("planner_streams", "Live streams open now.", multiprocess_mode="livesum")
pool_connections = Gauge(
    "planner_database_pool_connections", "Connections to PostgreSQL that the API has, by state: used, idle.", ["state"],
    multiprocess_mode="livesum",
)  # fmt: skip
pool_limit = Gauge(
    "planner_database_pool_limit", "Connections to PostgreSQL that the API may have.", multiprocess_mode="livesum"
)
pool_wait_seconds = Histogram(
    "planner_database_pool_wait_seconds",
    "Time that a request waited for a connection, for a new one if need be.",
    buckets=SECONDS,
)
pool_timeouts = Counter("planner_database_pool_timeouts", "Requests that got no connection in time: all were busy.")

dispatch_claims = Counter("planner_dispatcher_claims", "Changes claimed for dispatch.")
dispatch_reclaims = Counter("planner_dispatcher_lease_expiries", "Changes whose lease ran out: dispatched once more.")
dispatch_deliveries = Counter("planner_dispatcher_delivery_claims", "Deliveries claimed for dispatch.")
dispatch_lost = Counter(
    "planner_dispatcher_delivery_lease_expiries", "Deliveries whose lease ran out while they were being sent."
)
dispatch_held = Counter("planner_dispatcher_held", "Changes kept back by the brake.")
dispatch_messages = Counter("planner_dispatcher_messages", "Messages handed to the broker.", ["queue"])
dispatch_errors = Counter("planner_dispatcher_errors", "Turns that failed, by what was away.", ["dependency"])
dispatch_publish_errors = Counter(
    "planner_dispatcher_publish_errors", "Messages that the broker did not take: their work is released.", ["queue"]
)
dispatch_up = Gauge(
    "planner_dispatcher_dependency_up", "Whether the dispatcher reaches it: postgresql, redis.", ["dependency"]
)
dispatch_turned = Gauge("planner_dispatcher_last_turn_timestamp_seconds", "When the loop last began a turn.")
dispatch_turn_seconds = Histogram("planner_dispatcher_turn_duration_seconds", "Time a turn took.", buckets=SECONDS)
dispatch_lag = Histogram(
    "planner_dispatcher_loop_lag_seconds", "How much later than it meant to the loop began a turn.", buckets=SECONDS
)

tasks = Counter("planner_tasks", "Celery tasks finished, by state.", ["task", "state"])
task_seconds = Histogram("planner_task_duration_seconds", "Time a task ran.", ["task"], buckets=(*SECONDS, 30, 60, 300))
task_lateness = Histogram(
    "planner_task_lateness_seconds",
    "From when a task's oldest piece of work was due, by PostgreSQL's clock, to the task's start, by the worker's. What"
    " is put off is due later.",
    ["task"], buckets=LATENESS,
)  # fmt: skip
task_redeliveries = Counter(
    "planner_task_redeliveries", "Messages with work that was handed out before: a lease had run out.", ["task"]
)
children = Gauge("planner_worker_children", "Children that a worker's pool has.", multiprocess_mode="livesum")
children_stuck = Counter("planner_worker_stuck_children", "Children killed since they took work and did not begin it.")
notifications_written = Counter("planner_notifications_written", "Notifications that fan-out wrote.")
notification_lateness = Histogram(
    "planner_notification_lateness_seconds",
    "From the commit of a change to its notifications being in the inboxes; of one that the brake held, from an"
    " admin's yes.",
    buckets=LATENESS,
)

deliveries = Counter(
    "planner_deliveries", "Deliveries that came to a state: sent, failed (will be tried again), dead, superseded.",
    ["channel", "state"],
)  # fmt: skip
deliveries_put_off = Counter(
    "planner_deliveries_put_off", "Deliveries that were made to wait, by why.", ["channel", "reason"]
)
delivery_attempts = Counter("planner_delivery_attempts", "Tries, by what came of them.", ["channel", "outcome"])
delivery_seconds = Histogram(
    "planner_delivery_attempt_duration_seconds", "Time a try took.", ["channel"], buckets=(*SECONDS, 25)
)
delivery_lateness = Histogram(
    "planner_delivery_lateness_seconds",
    "From the commit of a change to the provider's yes, with all retries and waiting for pace and breakers. What was"
    " put off on purpose counts from its new time: after quiet hours, a digest, an admin's yes, a replay.",
    ["channel"], buckets=LATENESS,
)  # fmt: skip

build = Gauge(
    "planner_build_info", "1, with what runs: Planner's version, its revision if it was built with one, Python's.",
    ["service", "version", "revision", "python"], multiprocess_mode="livemax",
)  # fmt: skip

SERVICES = {
    "api": ("planner_http_", "planner_cache_", "planner_streams", "planner_database_pool_"),
    "dispatcher": ("planner_dispatcher_",),
    "worker": ("planner_task", "planner_worker_", "planner_notification", "planner_deliver"),
}
"""Whose a metric is, by how its name begins."""

TASK_STATES = ("SUCCESS", "FAILURE", "RETRY", "REVOKED", "IGNORED", "REJECTED", "INTERRUPTED")
KNOWN: Mapping[MetricWrapperBase, tuple[Iterable[str], ...]] = {
    cache_reads: (("near", "hit", "miss", "error"),),
    pool_connections: (("used", "idle"),),
    dispatch_messages: (Queue,),
    dispatch_errors: (("postgresql", "redis"),),
    dispatch_publish_errors: (Queue,),
    dispatch_up: (("postgresql", "redis"),),
    tasks: (Task, TASK_STATES),
    task_seconds: (Task,),
    task_lateness: (Task,),
    task_redeliveries: (Task,),
    deliveries: (ChannelType, [state for state in State if state is not State.PENDING]),
    deliveries_put_off: (ChannelType, (Reason.QUIET_HOURS, Reason.DIGEST, Reason.PACE, Reason.BREAKER)),
    delivery_attempts: (ChannelType, Outcome),
    delivery_seconds: (ChannelType,),
    delivery_lateness: (ChannelType,),
}
"""The values that labels can have, one after the other. Where they are not listed they are the API's routes."""


def belongs(name: str, service: str) -> bool:
    """Whether a metric of that name is the service's, or not of this catalogue at all."""
    return not name.startswith("planner_") or name.startswith(("planner_build_info", *SERVICES.get(service, ())))


def begin(service: str, revision: str) -> None:
    """Say what runs, and let all that may be counted begin at 0: to Prometheus a counter's first value is no increase,
    and the first dead letter should be one."""
    build.labels(service, version("planner-common"), revision, platform.python_version()).set(1)
    for metric, values in KNOWN.items():
        (family,) = metric.describe()
        if belongs(family.name, service) and not isinstance(metric, Gauge):  # of a gauge, unknown is not zero
            for labels in product(*values):
                metric.labels(*labels)
