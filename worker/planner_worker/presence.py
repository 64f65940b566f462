"""The worker's word that it lives."""

from typing import Any

from celery import bootsteps
from planner_common.presence import Presence
from planner_common.settings import get_settings


class Present(bootsteps.StartStopStep):
    """Said once the children are there, and until the worker takes no more messages."""

    requires = ("celery.worker.components:Pool",)  # type: ignore[assignment]  # Celery has no types

    def create(self, worker: Any) -> Presence:
        """What Celery starts and stops with this step. One worker of a name takes the place of the one before it."""
        return Presence(get_settings(), "worker", list(worker.app.amqp.queues.consume_from), worker.hostname)
