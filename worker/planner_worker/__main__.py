"""`python -m planner_worker`: a Celery worker whose main process serves the metrics of its children."""

import os
import signal
import sys
import threading
from typing import Any

from planner_common import multiprocess
from planner_common.settings import settings_or_exit

STOP_SECONDS = 15
"""How long running tasks may go on after SIGTERM. Then they are cut off, which only costs their lease."""


def main() -> None:
    settings = settings_or_exit()
    multiprocess.prepare()

    # After `prepare`, for they import prometheus_client.
    from celery import signals  # noqa: PLC0415

    from planner_worker.app import app  # noqa: PLC0415
    from planner_worker.heartbeat import Heartbeat  # noqa: PLC0415

    @signals.worker_shutting_down.connect
    def bound_the_stop(how: str, **_signal: Any) -> None:
        if how == "Warm":
            timer = threading.Timer(STOP_SECONDS, os.kill, (os.getpid(), signal.SIGQUIT))
            timer.daemon = True
            timer.start()

    try:
        multiprocess.serve(settings.worker_metrics_host, settings.worker_metrics_port)
    except OSError as error:
        sys.exit(f"worker: WORKER_METRICS_PORT {settings.worker_metrics_port}: {error.strerror}")
    app.steps["worker"].add(Heartbeat)
    app.worker_main(
        # Without gossip and mingle: workers have nothing to tell each other.
        ["--quiet", "worker", f"--hostname={settings.worker_name}", "--without-gossip", "--without-mingle"]
    )


if __name__ == "__main__":
    main()
