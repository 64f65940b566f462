"""`python -m planner_worker.flower`: the dashboard of workers, queues and tasks, behind a login.

Set up here and not by `celery flower`, whose options would put the password on the command line, where every user of
the machine can read it, or in a file of Flower's own.
"""

import logging
import signal
import sys

from flower.app import Flower
from flower.urls import settings as tornado_settings
from planner_common.logging import configure_logging, get_logger
from planner_common.settings import Settings, settings_or_exit
from tornado.options import options

from planner_worker.app import app

MAX_TASKS = 10_000
"""Tasks it remembers."""
PURGE_SECONDS = 300
"""How long it shows a worker that is gone."""

logger = get_logger("planner_worker.flower")


def configure(settings: Settings, password: str) -> None:
    """Set Flower's options, which are global to the process."""
    options.address = settings.flower_host
    options.port = settings.flower_port
    options.basic_auth = [f"{settings.flower_user}:{password}"]
    options.read_only = settings.flower_read_only
    options.max_tasks = MAX_TASKS
    options.purge_offline_workers = PURGE_SECONDS


def main() -> None:
    settings = settings_or_exit()
    if settings.flower_password is None:
        sys.stderr.write("setting FLOWER_PASSWORD: is required (or FLOWER_PASSWORD_FILE)\n")
        sys.exit(78)  # as settings_or_exit does
    configure_logging(settings, "flower")
    logging.getLogger("tornado.access").setLevel(logging.ERROR)  # the pages refresh themselves every few seconds
    configure(settings, settings.flower_password.get_secret_value())
    flower = Flower(capp=app, options=options, **tornado_settings)

    def stop(*_signal: object) -> None:
        flower.io_loop.add_callback_from_signal(flower.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        flower.start_http_server()
    except OSError as error:
        sys.exit(f"flower: FLOWER_PORT {settings.flower_port}: {error.strerror}")
    logger.info("ready", address=f"http://{settings.flower_host}:{settings.flower_port}")
    flower.start()


if __name__ == "__main__":
    main()
