"""`python -m planner_worker`: a Celery worker whose main process serves the metrics of its children."""

import os
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from typing import Any

from billiard.process import active_children
from planner_common import multiprocess
from planner_common.sealing import Sealer
from planner_common.settings import Settings, settings_or_exit

from planner_worker.mail.server import Server

STOP_SECONDS = 35
"""How long running tasks may go on after SIGTERM. Then they are cut off, which costs a fan-out its lease, but a message
under way its certainty (`outcome_unknown`): so it is longer than the longest try of any channel, Apprise's 31 s."""
CUT_SECONDS = 2
"""How long children may take to end then. One that is frozen never would."""


def check(settings: Settings) -> None:
    """End the process here, with the status of a wrong setting, rather than with the first delivery."""
    try:
        Sealer(settings.encryption_keys)
        if settings.smtp_url is not None:
            Server.of(settings.smtp_url.get_secret_value())
    except ValueError as error:
        sys.stderr.write(f"setting {error}\n")
        sys.exit(78)  # as settings_or_exit does


def cut_off() -> None:
    """End what still runs, so that a stop takes no longer than those wait who ordered it."""
    os.kill(os.getpid(), signal.SIGQUIT)
    time.sleep(CUT_SECONDS)
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


def main() -> None:
    settings = settings_or_exit()
    check(settings)
    multiprocess.prepare()

    # After `prepare`, for they import prometheus_client.
    from celery import signals  # noqa: PLC0415
    from celery.exceptions import SecurityWarning  # noqa: PLC0415
    from celery.utils.nodenames import default_nodename, host_format  # noqa: PLC0415
    from planner_common import metrics  # noqa: PLC0415

    from planner_worker.app import app  # noqa: PLC0415
    from planner_worker.heartbeat import Heartbeat  # noqa: PLC0415
    from planner_worker.presence import Present  # noqa: PLC0415

    @signals.worker_shutting_down.connect
    def bound_the_stop(how: str, **_signal: Any) -> None:
        if how == "Warm":
            timer = threading.Timer(STOP_SECONDS, cut_off)
            timer.daemon = True
            timer.start()

    metrics.begin("worker", settings.planner_revision)
    try:
        multiprocess.serve(settings.worker_metrics_host, settings.worker_metrics_port, "worker")
    except OSError as error:
        sys.exit(f"worker: WORKER_METRICS_PORT {settings.worker_metrics_port}: {error.strerror}")
    # As root (`make up` in a container, say) Celery warns in four lines; what it warns of is pickle, which is off.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.steps["worker"].update({Heartbeat, Present})
    app.events.dispatcher_cls = "planner_worker.consumer:EventDispatcher"
    worker = app.Worker(
        hostname=host_format(default_nodename(settings.worker_name)),
        quiet=True,
        # Workers have nothing to tell each other.
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
