"""The file that shows that a loop turns, for health checks without a port: its age is the loop's."""

from pathlib import Path
from typing import Any

from celery import bootsteps
from planner_common.settings import HEARTBEAT_SECONDS, get_settings


def beat(path: Path | None) -> None:
    """Touch the heartbeat file, if there is one. A full disk stops the heartbeat, not the work."""
    if path is not None:
        try:
            path.touch()
        except OSError:
            return


class Heartbeat(bootsteps.StartStopStep):
    """Touches the heartbeat file from the worker's main loop, by a timer. See also `consumer`."""

    requires = ("celery.worker.components:Timer",)  # type: ignore[assignment]  # Celery has no types

    def start(self, worker: Any) -> None:
        path = get_settings().heartbeat_file
        beat(path)
        worker.timer.call_repeatedly(HEARTBEAT_SECONDS, beat, (path,))
