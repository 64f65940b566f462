"""The spans themselves, by OpenTelemetry's API.

Instrumentation packages are not used: that of SQLAlchemy refuses 2.1, that of asyncpg wraps methods that SQLAlchemy
does not call, that of Redis would tell of each look for messages, that of ASGI would tell URLs with their tokens
(docs/decisions/0019-spans-by-hand.md).

A change carries the context of its request in its row. Whoever goes on with it begins a span in that trace; a message
or a task that goes on with several begins one in each. The first of them is the one that runs: SQL is below it, and the
others link to it. Nothing of people is told: statements are constants, values are never told, nor are messages of
errors.
"""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from uuid import UUID

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection, ExceptionContext

from planner_common.logging import get_logger, without_addresses
from planner_common.settings import Settings
from planner_common.tracing import Traces

STOP_SECONDS = 2.0
PROBES = frozenset({"/livez", "/readyz"})
"""Asked again and again, by no person."""

logger = get_logger("planner_common.tracing")
propagator = TraceContextTextMapPropagator()
provider: TracerProvider | None = None
tracer: trace.Tracer = trace.NoOpTracer()


class Exporter(SpanExporter):
    """Tells the collector; that it is away is said once."""

    def __init__(self, headers: Mapping[str, str] | None) -> None:
        self._exporter = OTLPSpanExporter(headers=headers)
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        away = result is not SpanExportResult.SUCCESS
        if away and not self._away:
            logger.warning("dependency away", dependency="collector", error="spans are dropped")
        elif self._away and not away:
            logger.info("dependency back", dependency="collector")
        self._away = away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def start(settings: Settings, service: str) -> None:
    """Whom to tell, how much of it and in what pieces are the SDK's own settings (OTEL_*)."""
    global provider, tracer  # noqa: PLW0603
    given = settings.otel_exporter_otlp_headers
    headers = dict(pair.strip().split("=", 1) for pair in given.get_secret_value().split(",")) if given else None
    resource = Resource.create(
        {"service.name": f"planner-{service}", "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
    )
    # Not the process's global one: libraries that would tell of themselves find none.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Exporter(headers)))
    tracer = provider.get_tracer("planner")
    for name, listener in SQL.items():
        if not event.contains(Engine, name, listener):
            event.listen(Engine, name, listener)


def stop() -> None:
    if provider is not None:
        # A collector that does not answer must not hold the process up.
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)


# ---- contexts


def _of(traceparent: str) -> Context:
    return propagator.extract({"traceparent": traceparent}, Context())


def _written(span: Span) -> str:
    carrier: dict[str, str] = {}
    propagator.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier["traceparent"]


def _kept(span: Span) -> bool:
    return span.get_span_context().trace_flags.sampled


def traceparent() -> str | None:
    span = trace.get_current_span()
    return _written(span) if _kept(span) else None


def trace_ids() -> dict[str, str]:
    found: SpanContext = trace.get_current_span().get_span_context()
    return {"trace_id": f"{found.trace_id:032x}"} if found.is_valid else {}


# ---- the API


class Running:
    """A span that is the current one until it ends."""

    def __init__(self, span: Span, context: Context | None = None) -> None:
        self.span = span
        self._token = contexts.attach(trace.set_span_in_context(span, context))

    def end(self, *, failed: bool = False) -> None:
        contexts.detach(self._token)
        if failed:
            self.span.set_status(StatusCode.ERROR)
        self.span.end()

    def answered(self, route: str, status: int, request_id: str, changes: Sequence[int]) -> None:
        """The end of a request's span."""
        span = self.span
        span.update_name(f"{span.name} {route}" if isinstance(span, ReadableSpan) else route)
        span.set_attributes(
            {
                "http.route": route,
                "http.response.status_code": status,
                "planner.request.id": without_addresses(request_id),
                "planner.change.ids": list(changes),
            }
        )
        self.end(failed=status >= 500)  # noqa: PLR2004


def request(method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> Running | None:
    if path in PROBES:
        return None
    carrier = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in {b"traceparent", b"tracestate"}
    }
    context = propagator.extract(carrier, Context())
    attributes = {"http.request.method": method}
    return Running(tracer.start_span(method, context, SpanKind.SERVER, attributes), context)


@contextmanager
def step(name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
    """A part of what runs, if that is traced."""
    if not _kept(trace.get_current_span()):
        yield
        return
    span = tracer.start_span(name, kind=kind, attributes=attributes)
    try:
        yield
    except BaseException as error:
        _failed(span, error)
        raise
    finally:
        span.end()


def redis(operation: object) -> Any:
    name = getattr(operation, "__name__", "command")
    attributes = {"db.system.name": "redis", "db.operation.name": name}
    return step(f"redis {name}", SpanKind.CLIENT, attributes)


# ---- SQL


@lru_cache(maxsize=500)
def _summary(statement: str) -> str:
    """What a statement does, in two words: what it writes first, else what it reads."""
    found = re.search(r"\b(INSERT INTO|UPDATE|DELETE FROM) (\w+)", statement) or re.search(
        r"\b(FROM) (?!unnest|jsonb|json|\()(\w+)", statement
    )
    if found is None:
        return statement.split(maxsplit=1)[0] if statement.strip() else "SQL"
    return f"{found[1].split()[0].replace('FROM', 'SELECT')} {found[2]}"


def statement(sql: str) -> Any:
    """One that goes past SQLAlchemy."""
    summary = _summary(sql)
    return step(summary, SpanKind.CLIENT, _of_statement(sql, summary))


def _of_statement(sql: str, summary: str) -> dict[str, str]:
    return {"db.system.name": "postgresql", "db.query.text": sql, "db.query.summary": summary}


def _before(_connection: Connection, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    # Threads that ask for a task do not have its context, and a process has one task at a time.
    parent = trace.get_current_span()
    if not _kept(parent) and _tasks:
        parent = _tasks[0]
    if context is not None and _kept(parent):
        summary = _summary(statement)
        context.planner_span = tracer.start_span(
            summary, trace.set_span_in_context(parent), SpanKind.CLIENT, _of_statement(statement, summary)
        )


def _after(_connection: Connection, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    if (span := getattr(context, "planner_span", None)) is not None:
        span.end()


def _error(found: ExceptionContext) -> None:
    if (span := getattr(found.execution_context, "planner_span", None)) is not None:
        _failed(span, found.original_exception)
        span.end()


SQL: dict[str, Callable[..., Any]] = {
    "before_cursor_execute": _before,
    "after_cursor_execute": _after,
    "handle_error": _error,
}


def _failed(span: Span, error: BaseException) -> None:
    """Only what kind of error: its message may quote anything."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", type(error).__name__)


# ---- dispatcher and workers


def _each(name: str, kind: SpanKind, traces: Mapping[int, str], attributes: dict[str, Any]) -> dict[int, Span]:
    """A span for each change, in its trace. The first links to where the others come from, these to the first."""
    spans: dict[int, Span] = {}
    parents = {change: _of(traceparent) for change, traceparent in traces.items()}
    contexts_of = {change: trace.get_current_span(parent).get_span_context() for change, parent in parents.items()}
    for change, parent in parents.items():
        first = next(iter(spans.values()), None)
        linked = [context for other, context in contexts_of.items() if other != change]
        links = [Link(context) for context in linked] if first is None else [Link(first.get_span_context())]
        spans[change] = tracer.start_span(name, parent, kind, attributes | {"planner.change.id": change}, links)
    return spans


@contextmanager
def handing_out(task: str, queue: str, traces: Traces) -> Iterator[Traces]:
    attributes = {"messaging.system": "celery", "messaging.destination.name": queue}
    spans = _each(f"send {task}", SpanKind.PRODUCER, traces, attributes)
    try:
        yield {change: _written(span) for change, span in spans.items()}
    except BaseException as error:
        for span in spans.values():
            _failed(span, error)
        raise
    finally:
        for span in spans.values():
            span.end()


_tasks: list[Span] = []
"""Of the task that runs: a span for each of its traced changes, the first of which is the current one."""
_by_change: dict[int, Span] = {}
_running: Running | None = None


def begin_task(task: str, task_id: str, traces: Mapping[str, str]) -> None:
    global _running  # noqa: PLW0603  # one task at a time
    attributes = {"messaging.system": "celery", "messaging.message.id": task_id}
    found = {int(change): traceparent for change, traceparent in traces.items()}
    _by_change.update(_each(f"process {task}", SpanKind.CONSUMER, found, attributes))
    _tasks.extend(_by_change.values())
    _running = Running(_tasks[0])


def end_task(*, failed: bool) -> None:
    global _running  # noqa: PLW0603
    if _running is None:
        return
    for span in _tasks[1:]:
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end()
    _running.end(failed=failed)
    _running = None
    _tasks.clear()
    _by_change.clear()


def attempt(
    deliveries: Sequence[tuple[UUID, int | None]], channel: str, outcome: str, status: int | None, seconds: float
) -> None:
    ended = time.time_ns()
    attributes: dict[str, Any] = {"planner.channel": channel, "planner.outcome": outcome}
    if status is not None:
        attributes["planner.status"] = status
    for delivery, change in deliveries:
        if change is None or (parent := _by_change.get(change)) is None:
            continue
        span = tracer.start_span(
            f"deliver {channel}",
            trace.set_span_in_context(parent, Context()),
            SpanKind.CLIENT,
            attributes | {"planner.delivery.id": str(delivery), "planner.change.id": change},
            start_time=ended - round(seconds * 1e9),
        )
        if outcome != "accepted":
            span.set_status(StatusCode.ERROR)
        span.end(ended)
