"""The Celery application and every setting of it.

`celery -A planner_worker.app inspect active` and the like work wherever a worker's settings are in the environment.

A message is a hint and PostgreSQL the truth, which decides most of what is set here: messages are acknowledged before
the task runs, because the lease of a change redelivers it, and because a worker that holds late acknowledgements dies
when Redis restarts. No ETA and no countdown: what is due later is a row. No prefix on the keys of Redis, so that
`redis-cli LLEN fan_out` reads as one expects.
"""

from typing import Any

from celery import Celery
from kombu.entity import Queue as CeleryQueue
from planner_common.messages import QUEUE_OF, Queue
from planner_common.settings import settings_or_exit

SOCKET_SECONDS = 3.0
"""The longest that one command may hang on a Redis that accepts connections and does not answer."""
STATEMENT_SECONDS = 50
"""The longest that one statement of a task may take. Below the time limit, so that a slow one fails in order."""
TASK_SECONDS = 60
"""The longest that a task may take before its process is killed."""

app = Celery(
    "planner",
    include=[
        "planner_worker.telemetry",
        "planner_worker.tasks.audit",
        "planner_worker.tasks.deliver",
        "planner_worker.tasks.fan_out",
        "planner_worker.tasks.prune",
    ],
)


@app.add_defaults
def configuration() -> dict[str, Any]:
    """Celery asks for it when it first needs a setting, so importing this module checks nothing."""
    settings = settings_or_exit()
    redis = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "socket_keepalive": True,
        # A BRPOP that is overdue by this much is on a dead connection.
        "health_check_interval": 10,
    }
    return {
        "broker_url": settings.broker(),
        "broker_transport_options": {
            **redis,
            # For the instant between taking a message and acknowledging it. A second delivery is harmless.
            "visibility_timeout": 120,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            # Urgent deliveries first, always; kombu's default would take the queues in turns.
            "queue_order_strategy": "priority",
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that refuses to write (its disk is full) is an outage, not the end of the worker.
        "broker_channel_error_retry": True,
        "broker_pool_acquire_timeout": SOCKET_SECONDS,
        "result_backend": settings.results(),
        "result_backend_transport_options": redis,
        "result_expires": 3600,
        "redis_socket_timeout": SOCKET_SECONDS,
        "redis_socket_connect_timeout": SOCKET_SECONDS,
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "task_queues": [CeleryQueue(queue.value, routing_key=queue.value) for queue in Queue],
        "task_default_queue": Queue.HOUSEKEEPING.value,
        "task_create_missing_queues": False,
        "task_routes": {task.value: {"queue": queue.value} for task, queue in QUEUE_OF.items()},
        "task_acks_late": False,
        "task_ignore_result": True,
        # The dispatcher decides what to do when the broker is away.
        "task_publish_retry": False,
        "task_time_limit": TASK_SECONDS,
        "worker_consumer": "planner_worker.consumer:Consumer",
        "worker_concurrency": settings.worker_processes,
        "worker_pool": "planner_worker.pool:TaskPool",
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 1000,
        "worker_max_memory_per_child": 250_000,  # KiB
        # On a busy machine a child may take long to start; Celery's 4 s would kill it and try again.
        "worker_proc_alive_timeout": 30.0,
        # Concerns late acknowledgements only, which there are none of; without it there is a warning at each outage.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        # Fewer prefetched messages after a reconnection would be one more state to be in.
        "worker_enable_prefetch_count_reduction": False,
        # Flower is fed by events. Those of senders would name a new «worker» for each process of the dispatcher.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
