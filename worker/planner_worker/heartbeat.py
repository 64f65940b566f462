"""What shows that a loop turns and that its turning is of use: a file for health checks, and a watchdog.

The file's age is that of the last progress; the watchdog looks at the turning alone. For a worker these are two things:
its main loop may turn beside children that do nothing (see `pool`).
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from celery import bootsteps
from planner_common.settings import get_settings
from planner_common.watchdog import Watchdog


def beat(path: Path | None) -> None:
    """Touch the heartbeat file, if there is one. A full disk stops the heartbeat, not the work."""
    if path is not None:
        try:
            path.touch()
        except OSError:
            return


@lru_cache(maxsize=1)
def watchdog() -> Watchdog:
    """The worker's. Its children have none: the time limits bound what they do."""
    return Watchdog("main loop", get_settings().watchdog_seconds)


def turned() -> None:
    """The worker's main loop turns."""
    watchdog().beat()


def progressed() -> None:
    """It turns, and the worker works or has nothing to do."""
    turned()
    beat(get_settings().heartbeat_file)


class Heartbeat(bootsteps.StartStopStep):
    """Begins it. Then the main loop goes on: in `pool`, and in `consumer` while it stands there."""

    requires = ("celery.worker.components:Timer",)  # type: ignore[assignment]  # Celery has no types

    def start(self, _worker: Any) -> None:
        progressed()
        watchdog().start()
