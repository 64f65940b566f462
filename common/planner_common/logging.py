"""Logs: one line per thing that happened, coloured for people, JSON for machines, the same fields in both.

What belongs to a request or a task (`request_id`, `task_id`) is bound once and is then on every line, also on those of
libraries that use the standard library's logging. Never in a log: secrets, tokens, bodies, addresses of people.
Whoever writes a line sees to that; what others write (libraries, other sides whose answers are quoted, PostgreSQL that
quotes a row) is cut short here: `LOG_LEVEL` makes only Planner's own loggers say more, of an error only the first line
is shown, of a database's error no values, of addresses and URLs not what identifies somebody or opens something.
"""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from pydantic_core import to_json

from planner_common import tracing
from planner_common.absent import without
from planner_common.settings import Settings

# Where Rich is installed structlog imports it, for tracebacks that are not ours: 4 MB in each process. Where it is not
# (the images of workers and exporter) it does without, and so it does here.
with without("rich"):
    import structlog

QUIET = ("alembic", "httpx", "httpcore", "opentelemetry")
"""Libraries that tell URLs even when they do not debug, or whatever they tell again and again."""

bind = structlog.contextvars.bind_contextvars
unbind = structlog.contextvars.unbind_contextvars
clear = structlog.contextvars.clear_contextvars


def configure_logging(settings: Settings, service: str) -> None:
    """Send structlog's and the standard library's lines to standard output, in one form, marked with the service."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stdout.isatty())

    def stamp(_logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if tracing.on:
            event.update(tracing.trace_ids())
        event["level"] = method
        event["timestamp"] = f"{datetime.now(UTC).isoformat()[:-6]}Z"
        if as_json:
            event.setdefault("service", service)
        return event

    def drop_colours(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.pop("color_message", None)  # uvicorn's messages come twice
        return event

    shared: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, stamp]
    if as_json:
        shared.append(structlog.processors.ExceptionRenderer(_traceback))
    shared.append(_discreet)
    renderer: structlog.typing.Processor = (
        as_line
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=True,
            pad_event_to=28,
            sort_keys=False,
            # structlog's own, and its tracebacks for JSON, show local variables: passwords, among others.
            exception_formatter=_write_traceback,
        )
    )
    level = getattr(logging, settings.log_level.upper())
    handler = logging.StreamHandler(sys.stdout)
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=lambda *_: Output(handler),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), drop_colours, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_the_end
    threading.excepthook = lambda end: _log_the_end(end.exc_type, end.exc_value, end.exc_traceback)


class Output:
    """Writes Planner's own lines, as they are: a record of the standard library for each would cost more than all else.

    Under the lock of the handler that writes the others', which the standard library renews in a forked process.
    """

    def __init__(self, handler: "logging.StreamHandler[TextIO]") -> None:
        self._handler = handler

    def msg(self, line: str) -> None:
        handler = self._handler
        handler.acquire()
        try:
            handler.stream.write(line + handler.terminator)
            handler.flush()
        finally:
            handler.release()

    debug = info = warning = error = critical = exception = msg


def as_line(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    try:
        return to_json(event, fallback=repr).decode()
    except ValueError:  # half a character, which is no UTF-8
        return json.dumps(event, default=repr)


def _log_the_end(kind: type[BaseException], error: BaseException | None, at: TracebackType | None) -> None:
    """What ends a process or a thread is a line like the others."""
    if issubclass(kind, Exception) and error is not None:
        get_logger("planner_common").critical("ended by an error", exc_info=(kind, error, at))
    elif not issubclass(kind, SystemExit):
        sys.__excepthook__(kind, error or kind(), at)


# Of a URL what is behind its host may open something, and with services of Apprise the host as well.
URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://([^\s\"'<>]*)", re.IGNORECASE)
ADDRESS = re.compile(r"[^\s\"<>()\[\]{},;:=]+@[^\s\"'<>()\[\]{},;:=@]+\.[^\s\"'<>()\[\]{},;:=@]+")


def _url(found: re.Match[str]) -> str:
    scheme, rest = found[1], found[2]
    host, slash, _ = rest.rpartition("@")[2].partition("/")
    if scheme.lower() not in {"http", "https"}:
        return f"{scheme}://…"
    return f"{scheme}://{host.partition('?')[0]}" + ("/…" if slash or "?" in host else "")


def without_addresses(text: str) -> str:
    """A text without e-mail addresses, and with URLs up to their host, of http only."""
    if "://" in text:
        text = URL.sub(_url, text)
    return ADDRESS.sub("…@…", text) if "@" in text else text


def _discreet(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name, value in event.items():
        if isinstance(value, str):
            if "@" in value or "://" in value:
                event[name] = without_addresses(value)
        elif isinstance(value, list):
            event[name] = [without_addresses(one) if isinstance(one, str) else one for one in value]
    return event


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """Where an error came from and what it was in short, with those that it came of: no values of variables."""
    return "\n".join(_lines(exc_info[1], set()))


def _write_traceback(to: TextIO, error: structlog.typing.ExcInfo) -> None:
    to.write(without_addresses("\n" + _traceback(error)))


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    origin = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if origin is not None and id(origin) not in seen:
        yield from _lines(origin, seen)
        yield "which led to:" if error.__cause__ is not None else "and while that was handled:"
    yield "Traceback (most recent call last):"
    yield from (line.rstrip("\n") for line in traceback.format_list(traceback.extract_tb(error.__traceback__)))
    yield in_short(error)
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from ("  " + line for line in _lines(one, seen))


DATA_ERRORS = "22"
"""SQLSTATEs of data exceptions begin so. Behind the first colon they quote what was sent."""


def in_short(error: BaseException) -> str:
    """An error in one line, without the statement, the parameters and the rows that a database's error quotes."""
    cause = getattr(error, "orig", None) or error
    line = str(cause).strip().partition("\n")[0]
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        line = re.sub(r"^<class '[\w.]+'>: ", "", line)  # SQLAlchemy's, of asyncpg
        if str(state).startswith(DATA_ERRORS):
            line = line.partition(":")[0]
    return f"{type(cause).__name__}: {line}".rstrip(": ")


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
