"""`python -m planner_worker.flower`: the dashboard of workers, queues and tasks, behind a login.

Set up here and not by `celery flower`, whose options would put the password on the command line, where every user of
the machine can read it, or in a file of Flower's own.

Its metrics and its health are asked on a port of their own, without a login and whatever the prefix: a port that is
not published. Flower itself would show its metrics to anyone who reaches its pages.
"""

import logging
import signal
import sys

from flower.app import Flower
from flower.events import get_prometheus_metrics
from flower.urls import settings as tornado_settings
from flower.views import BaseHandler
from planner_common.logging import configure_logging, get_logger
from planner_common.settings import Settings, settings_or_exit
from planner_common.watchdog import Watchdog
from prometheus_client import CONTENT_TYPE_LATEST, GC_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest
from tornado.options import options
from tornado.web import Application, RequestHandler, authenticated

from planner_worker.app import app

MAX_TASKS = 10_000
"""Tasks it remembers: some 50 MB."""
MAX_WORKERS = 100
PURGE_SECONDS = 300
"""How long it shows a worker that is gone."""
SAVE_SECONDS = 300
"""How often it saves what it remembers, if it is to outlast a restart; at an orderly stop it does as well. Meanwhile it
shows nothing: a third of a second for as many tasks as it may remember."""
COLUMNS = "name,uuid,state,args,result,received,runtime,worker"

logger = get_logger("planner_worker.flower")


class NoMetrics(BaseHandler):
    """In the place of Flower's own, which ask for no login."""

    @authenticated
    async def get(self) -> None:
        self.set_status(404)
        self.finish("The metrics are on FLOWER_METRICS_PORT.\n")


class Metrics(RequestHandler):
    """Flower's own metrics. Those of Planner's catalogue, which is imported here too, would be so many zeros."""

    def initialize(self, flower: Flower) -> None:
        self.flower = flower
        self.registry = CollectorRegistry()
        for metric in (*vars(get_prometheus_metrics()).values(), PROCESS_COLLECTOR, GC_COLLECTOR):
            self.registry.register(metric)

    def get(self) -> None:
        self.flower.purge_offline_worker_metrics()
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.write(generate_latest(self.registry))


class Health(RequestHandler):
    def get(self) -> None:
        self.write("ok\n")


def configure(settings: Settings, password: str) -> None:
    """Set Flower's options, which are global to the process."""
    options.address = settings.flower_host
    options.port = settings.flower_port
    options.url_prefix = settings.flower_prefix
    options.basic_auth = [f"{settings.flower_user}:{password}"]
    options.read_only = settings.flower_read_only
    options.max_tasks = MAX_TASKS
    options.max_workers = MAX_WORKERS
    options.purge_offline_workers = PURGE_SECONDS
    options.tasks_columns = COLUMNS
    if settings.flower_file is not None:
        options.persistent = True
        options.db = str(settings.flower_file)
        options.state_save_interval = SAVE_SECONDS * 1000


def make_flower() -> Flower:
    """Flower as its options say, without the metrics among its pages."""
    prefix = f"/{options.url_prefix.strip('/')}" if options.url_prefix else ""
    below = {name: prefix + tornado_settings[name] for name in ("static_url_prefix", "login_url")}
    app.conf.include = []  # it would import the tasks, which workers run: 25 MB, and not needed to show them
    flower = Flower(capp=app, options=options, **{**tornado_settings, **below})
    flower.add_handlers(".*", [(f"{prefix}/metrics", NoMetrics)])
    return flower


def main() -> None:
    settings = settings_or_exit()
    if settings.flower_password is None:
        sys.stderr.write("setting FLOWER_PASSWORD: is required (or FLOWER_PASSWORD_FILE)\n")
        sys.exit(78)  # as settings_or_exit does
    configure_logging(settings, "flower")
    logging.getLogger("tornado.access").setLevel(logging.ERROR)  # the pages refresh themselves every few seconds
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)  # four warnings while there is no worker yet
    configure(settings, settings.flower_password.get_secret_value())
    flower = make_flower()
    inside = Application([("/metrics", Metrics, {"flower": flower}), ("/healthz", Health)])

    def stop(*_signal: object) -> None:
        flower.io_loop.add_callback_from_signal(flower.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        port = "FLOWER_PORT", settings.flower_port
        flower.start_http_server()
        port = "FLOWER_METRICS_PORT", settings.flower_metrics_port
        inside.listen(settings.flower_metrics_port, settings.flower_host)
    except OSError as error:
        sys.exit(f"flower: {port[0]} {port[1]}: {error.strerror}")
    logger.info("ready", address=f"http://{settings.flower_host}:{settings.flower_port}/{settings.flower_prefix}")
    Watchdog("event loop", settings.watchdog_seconds).start(flower.io_loop.add_callback)
    flower.start()


if __name__ == "__main__":
    main()
