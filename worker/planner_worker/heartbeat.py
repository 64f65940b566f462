"""The file that shows that a loop turns, for health checks without a port: its age is the loop's.

A worker's main loop touches it by a timer. That loop stands still while Celery waits for a broker that is away, which
is not the worker's illness (restarting it would not help), so there the attempts to reconnect touch it.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.worker import consumer
from planner_common.settings import HEARTBEAT_SECONDS, get_settings


def beat(path: Path | None) -> None:
    """Touch the heartbeat file, if there is one. A full disk stops the heartbeat, not the work."""
    if path is not None:
        try:
            path.touch()
        except OSError:
            return


class Heartbeat(bootsteps.StartStopStep):
    """Touches the heartbeat file from the worker's main loop."""

    requires = ("celery.worker.components:Timer",)  # type: ignore[assignment]  # Celery has no types

    def start(self, worker: Any) -> None:
        path = get_settings().heartbeat_file
        beat(path)
        worker.timer.call_repeatedly(HEARTBEAT_SECONDS, beat, (path,))


class Consumer(consumer.Consumer):
    """Celery's consumer, whose heart goes on while it waits for the broker."""

    def ensure_connected(self, connection: Any) -> Any:
        """Wait for the broker as Celery does, touching the heartbeat file each time it looks whether to shut down."""
        wait = connection.ensure_connection
        path = get_settings().heartbeat_file

        def ensure_connection(*args: Any, callback: Callable[[], None], **options: Any) -> Any:
            def turn() -> None:
                beat(path)
                callback()

            return wait(*args, callback=turn, **options)

        connection.ensure_connection = functools.wraps(wait)(ensure_connection)
        return super().ensure_connected(connection)  # type: ignore[no-untyped-call]
