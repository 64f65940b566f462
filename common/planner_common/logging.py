"""Logs: one line per thing that happened, coloured for people, JSON for machines, the same fields in both.

What belongs to a request or a task (`request_id`, `task_id`) is bound once and is then on every line, also on those of
libraries that use the standard library's logging. Never in a log: secrets, tokens, bodies, addresses of people.
"""

import logging
import sys
from typing import Any

import structlog

from planner_common.settings import Settings

bind = structlog.contextvars.bind_contextvars
unbind = structlog.contextvars.unbind_contextvars
clear = structlog.contextvars.clear_contextvars


def configure_logging(settings: Settings, service: str) -> None:
    """Send structlog's and the standard library's lines to standard output, in one form, marked with the service."""
    json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stdout.isatty())

    def add_service(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("service", service)
        return event

    def drop_colours(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.pop("color_message", None)  # uvicorn's messages come twice
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        drop_colours,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if json:
        shared += [add_service, structlog.processors.format_exc_info]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=True,
            pad_event_to=28,
            sort_keys=False,
            # structlog's own, and its tracebacks for JSON, show local variables: passwords, among others.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())


def in_short(error: BaseException) -> str:
    """An error in one line, without the statement and the parameters that SQLAlchemy adds."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}".rstrip(": ")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
