"""What dispatcher and workers say to each other: names of queues and tasks, each once, with what it means.

Messages carry ids only, as JSON, and are hints: the truth about what is due is in PostgreSQL, and a message that
is lost, repeated or late changes nothing but the moment.
"""

from enum import StrEnum


class Queue(StrEnum):
    """Celery queues, which are Redis lists of the same name: `redis-cli LLEN fan_out`. Workers look in this order."""

    DELIVER_URGENT = "deliver_urgent"
    """Deliveries about events that are about to start."""
    FAN_OUT = "fan_out"
    """Changes that are to become notifications."""
    DELIVER = "deliver"
    """Deliveries, as most are."""
    DELIVER_BULK = "deliver_bulk"
    """Deliveries to many at once, and digests."""
    HOUSEKEEPING = "housekeeping"
    """Pruning of what has expired."""


class Task(StrEnum):
    """Celery tasks, as Flower, `inspect registered` and the metrics name them."""

    FAN_OUT = "planner.fan_out"
    """`(change_ids: list[int])`: writes the notifications of these changes."""
    DELIVER = "planner.deliver"
    """`(held: list[[delivery_id: str, claims: int]])`: sends these deliveries. On the queue of their lane."""
    AUDIT = "planner.audit"
    """`()`: compares what is due with what is there, and keeps the result for the exporter."""
    PRUNE = "planner.prune"
    """`()`: deletes expired sessions and other rows past their use."""


QUEUE_OF: dict[Task, Queue] = {
    Task.FAN_OUT: Queue.FAN_OUT,
    Task.DELIVER: Queue.DELIVER,  # or its lane's, which the dispatcher says
    Task.AUDIT: Queue.HOUSEKEEPING,
    Task.PRUNE: Queue.HOUSEKEEPING,
}


class Channel(StrEnum):
    """PostgreSQL NOTIFY channels: they wake, they carry no truth. Each listener also polls."""

    CHANGES = "planner_changes"
    """A change was committed, or a delivery: the dispatcher should look. No payload."""
    NOTIFICATIONS = "planner_notifications"
    """Notifications were committed: live streams should look. The payload is a JSON array of change ids, or empty for
    «many»."""
