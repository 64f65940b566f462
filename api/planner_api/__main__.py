"""`python -m planner_api`: the API under uvicorn, in one process or several, with one port for their metrics."""

import asyncio
import gc
import signal
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI
from planner_common import multiprocess
from planner_common.logging import configure_logging
from planner_common.settings import get_settings, settings_or_exit
from planner_common.watchdog import Watchdog

CONFIGURATION = 78  # EX_CONFIG of sysexits.h
GRACEFUL_SECONDS = 20
"""How long requests that run may go on after SIGTERM."""


def stop(_number: int, _frame: FrameType | None) -> None:
    """What SIGTERM does before uvicorn serves, and once more after it has stopped in order: that is no failure."""
    sys.exit(0)


def application() -> FastAPI:
    """What each process serves: this one, or the children that uvicorn starts."""
    multiprocess.join()
    from planner_api.app import from_environment  # noqa: PLC0415  # it imports the metrics

    app = from_environment()
    # What is there stays: the collector need not go through it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    Watchdog("event loop", get_settings().watchdog_seconds).start(asyncio.get_running_loop().call_soon_threadsafe)
    return app


def main() -> None:
    settings = settings_or_exit()
    for name in ("signing_key", "encryption_keys"):
        if getattr(settings, name) is None:
            key = name.upper()
            sys.stderr.write(f"setting {key}: must be set, here or by {key}_FILE. Make one: openssl rand -base64 32\n")
            sys.exit(CONFIGURATION)
    signal.signal(signal.SIGTERM, stop)
    configure_logging(settings, "api")
    multiprocess.prepare(alone=settings.api_processes == 1)
    from planner_common import metrics  # noqa: PLC0415  # only now

    metrics.begin("api", settings.planner_revision)
    host = settings.api_metrics_host or settings.api_host
    try:
        multiprocess.serve(host, settings.api_metrics_port, "api")
    except OSError as error:
        sys.exit(f"api: API_METRICS_PORT {settings.api_metrics_port}: {error.strerror}")
    uvicorn.run(
        "planner_api.__main__:application",
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_processes,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
        access_log=False,  # the application writes its own
        log_config=None,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


if __name__ == "__main__":
    main()
