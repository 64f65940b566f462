"""What a worker says of its work: one log line per task, with the requests that caused it, and the metrics.

Imported by workers alone (it is one of the application's `include`), so that sending a task needs none of it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from celery import signals, states
from celery.apps import worker
from planner_common import metrics, tracing
from planner_common.logging import bind, clear, configure_logging, get_logger, in_short
from planner_common.messages import Task
from planner_common.settings import get_settings

FEW = 5
"""Deliveries of a message that its line names; those that failed have a line of their own."""

logger = get_logger("planner_worker")
started = 0.0
"""When the task of this process began (a child runs one at a time), by the monotonic clock."""
subject: dict[str, Any] = {}
"""The rows that it is about."""


@signals.setup_logging.connect
def set_up_logging(**_signal: Any) -> None:
    """Take Celery's place: it configures no logging where this signal is connected. Children inherit it."""
    configure_logging(get_settings(), "worker")
    # Their lines for each task say less than ours, or more: what an error quotes of a row.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)
    worker.safe_say = lambda *_said: None  # plain text, past all logging


@signals.worker_shutting_down.connect
def stopping(how: str, **_signal: Any) -> None:
    """Say so from a thread: this is a signal's handler, which may have come in the middle of another line."""
    threading.Thread(target=logger.info, args=("stopping",), kwargs={"how": how.lower()}).start()


@signals.worker_shutdown.connect
def stopped(**_signal: Any) -> None:
    logger.info("stopped")


@signals.worker_process_init.connect
def start_tracing(**_signal: Any) -> None:
    """In each child: what tells the spans is a thread, which a fork leaves behind."""
    tracing.start(get_settings(), "worker")


@signals.worker_process_shutdown.connect
def stop_tracing(**_signal: Any) -> None:
    tracing.stop()


@signals.task_prerun.connect
def begin(task_id: str, task: Any, args: Sequence[Any], **_signal: Any) -> None:
    """Put the task's and its requests' ids on every line that is logged from here on."""
    global started, subject  # noqa: PLW0603  # see their docstrings
    started = time.monotonic()
    clear()
    subject = about(task.name, args)
    bind(task=task.name, task_id=task_id)
    headers = task.request.headers or {}
    if request_ids := headers.get("request_ids"):
        bind(request_ids=request_ids)
    tracing.begin_task(task.name, task_id, headers.get("traces", {}))
    if "due" in headers:
        metrics.task_lateness.labels(task.name).observe(max(0.0, time.time() - headers["due"]))
    if headers.get("again"):
        metrics.task_redeliveries.labels(task.name).inc()


def about(task: str, args: Sequence[Any]) -> dict[str, Any]:
    """What a task's last line says of the rows that it is about: a message's changes, or its first deliveries."""
    match task, args:
        case Task.FAN_OUT, [change_ids]:
            return {"change_ids": change_ids}
        case Task.DELIVER, [held]:
            return {"delivery_ids": [delivery for delivery, _ in held[:FEW]]}
    return {}


@signals.task_postrun.connect
def end(task: Any, retval: Any, state: str | None, **_signal: Any) -> None:
    """Count the task and log its line, which carries what it returned: the numbers of what it did."""
    seconds = time.monotonic() - started
    state = state or "INTERRUPTED"  # as Celery leaves it when the worker is stopped in the middle
    metrics.tasks.labels(task.name, state).inc()
    metrics.task_seconds.labels(task.name).observe(seconds)
    if state == states.SUCCESS:
        logger.info("task done", seconds=round(seconds, 4), **subject, **retval)
    else:
        expected = not isinstance(retval, Exception) or isinstance(retval, task.throws)
        says = {**subject, "seconds": round(seconds, 4), "state": state, "error": retval and in_short(retval)}
        logger.warning("task failed", **says, exc_info=None if expected else retval)
    tracing.end_task(state)
    clear()
