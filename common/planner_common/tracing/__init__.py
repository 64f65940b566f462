"""OpenTelemetry traces, where OTEL_EXPORTER_OTLP_ENDPOINT names a collector: from a request through the outbox to the
message that leaves.

Who is not traced pays nothing: this module imports nothing of OpenTelemetry, and what is called often is a look at
`on`, or is called only after one. `spans` has all the rest; `start` imports it in the processes that are traced.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from planner_common.settings import Settings
    from planner_common.tracing import spans

on = False
"""Whether this process is traced."""

Traces = Mapping[int, str]
"""Of changes that are traced, by their ids: the `traceparent` (W3C Trace Context) of the span that they came to."""

NOTHING: AbstractContextManager[None] = nullcontext()


def start(settings: "Settings", service: str) -> None:
    """Trace this process, if that is wanted. In the process that is to tell its spans: its threads survive no fork."""
    global on  # noqa: PLW0603
    if settings.otel_exporter_otlp_endpoint:
        from planner_common.tracing import spans  # noqa: PLC0415  # it costs 20 MB and a third of a second

        spans.start(settings, service)
        on = True


def stop() -> None:
    """Tell what there is to tell, for two seconds at most, and trace no more."""
    global on  # noqa: PLW0603
    if on:
        on = False
        _spans().stop()


def traceparent() -> str | None:
    """Of the span that runs, if it is one to be kept: for what happens later, elsewhere."""
    return _spans().traceparent() if on else None


def trace_ids() -> dict[str, str]:
    """What log lines have of the span that runs."""
    return _spans().trace_ids() if on else {}


def request(method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> "spans.Running | None":
    """Begin the span of a request; None where it is not traced."""
    return _spans().request(method, path, headers) if on else None


def step(name: str) -> AbstractContextManager[None]:
    """A part of what is going on, such as COMMIT."""
    return _spans().step(name) if on else NOTHING


def statement(sql: str) -> AbstractContextManager[None]:
    """A statement that goes past SQLAlchemy."""
    return _spans().statement(sql) if on else NOTHING


def redis(operation: object) -> AbstractContextManager[None]:
    """A command to Redis."""
    return _spans().redis(operation) if on else NOTHING


def handing_out(task: str, queue: str, traces: Traces) -> "AbstractContextManager[Traces]":
    """A message that hands changes out. Gives what the message says of their traces: who goes on continues these."""
    return _spans().handing_out(task, queue, traces) if on and traces else nullcontext({})


def begin_task(task: str, task_id: str, traces: Mapping[str, str]) -> None:
    """A task that goes on with changes. `traces`: as its message says."""
    if on and traces:
        _spans().begin_task(task, task_id, traces)


def end_task(state: str) -> None:
    if on:
        _spans().end_task(failed=state != "SUCCESS")


def attempt(
    deliveries: Sequence[tuple[UUID, int | None]], channel: str, outcome: str, status: int | None, seconds: float
) -> None:
    """A try to send one message, just ended. `deliveries`: all that are in it, with their changes."""
    if on:
        _spans().attempt(deliveries, channel, outcome, status, seconds)


def _spans() -> Any:
    from planner_common.tracing import spans  # noqa: PLC0415  # `start` has imported it

    return spans
