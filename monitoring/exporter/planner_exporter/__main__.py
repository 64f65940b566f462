"""`python -m planner_exporter`: Prometheus exporter of Planner's queues and backlog, on port 9808.

Where it is given CANARY_KEY it is the canary as well: `make up` saves a process.

`/metrics` answers 500 when Redis or PostgreSQL cannot be asked within `TIMEOUT`; `/healthz` answers 200 as long as the
exporter itself lives.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import psycopg
from planner_common import metrics as catalogue
from planner_common.logging import configure_logging, get_logger, in_short
from planner_common.settings import Settings, settings_or_exit
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.exposition import ThreadingWSGIServer
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from planner_exporter.measure import Measurements
from planner_exporter.session import Session

TIMEOUT = 2.0
"""Seconds in which a scrape has its numbers or fails."""

logger = get_logger("planner_exporter")

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Exporter:
    """The WSGI application."""

    def __init__(self, settings: Settings) -> None:
        self.redis = Redis.from_url(
            settings.broker(), socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
        self.session = Session(settings, TIMEOUT)
        self.registry = CollectorRegistry(auto_describe=False)
        self.measurements = Measurements(self.redis, self.session)
        self.registry.register(self.measurements)
        self.registry.register(catalogue.build)
        # A thread to wait for, since nothing bounds how long a frozen PostgreSQL keeps its client waiting; only one, so
        # that scrapes do not pile up behind it.
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.failing = ""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        status, kind, body = self.answer(environ["PATH_INFO"])
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    def answer(self, path: str) -> tuple[str, str, bytes]:
        plain = "text/plain; charset=utf-8"
        if path == "/healthz":
            return "200 OK", plain, b"ok\n"
        if path != "/metrics":
            return "404 Not Found", plain, b"/metrics or /healthz\n"
        measuring = self.thread.submit(generate_latest, self.registry)
        try:
            metrics = measuring.result(TIMEOUT)
        except FutureTimeoutError:
            measuring.cancel()
            fault = f"{self.measurements.asked}: no answer within {TIMEOUT:g} s"
        except (RedisError, psycopg.Error) as error:
            fault = f"{self.measurements.asked}: {in_short(error)}"
        else:
            self.note("")
            return "200 OK", CONTENT_TYPE_LATEST, metrics
        self.note(fault)
        return "500 Internal Server Error", plain, f"not measured: {fault}\n".encode()

    def note(self, fault: str) -> None:
        """Log that scrapes fail, once, and that they no longer do."""
        if fault and not self.failing:
            logger.warning("cannot measure", error=fault)
        elif self.failing and not fault:
            logger.info("measuring again")
        self.failing = fault


class QuietHandler(WSGIRequestHandler):
    """Logs no requests, and drops a client that connects and says nothing."""

    timeout = 10

    def log_message(self, *_arguments: object) -> None:
        pass


def main() -> None:
    settings = settings_or_exit()
    configure_logging(settings, "exporter")
    catalogue.begin("exporter", settings.planner_revision)
    try:
        server = make_server(
            settings.exporter_host, settings.exporter_port, Exporter(settings), ThreadingWSGIServer, QuietHandler
        )
    except OSError as error:
        sys.exit(f"exporter: EXPORTER_PORT {settings.exporter_port}: {error.strerror}")

    def stop(*_signal: object) -> None:
        threading.Thread(target=server.shutdown).start()  # from here it would wait for itself

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if settings.canary_key is not None:
        from planner_exporter import canary  # noqa: PLC0415  # elsewhere it is a service of its own

        threading.Thread(target=canary.serve(settings, settings.canary_key.get_secret_value()), daemon=True).start()
    logger.info("ready", address=f"http://{settings.exporter_host}:{settings.exporter_port}/metrics")
    server.serve_forever(poll_interval=0.2)
    os._exit(0)  # it holds nothing, and must not wait for a thread that waits for a frozen server


if __name__ == "__main__":
    main()
