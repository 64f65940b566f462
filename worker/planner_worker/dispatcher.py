"""`python -m planner_worker.dispatcher`: hands what is due to the workers.

It asks PostgreSQL, which knows, when a NOTIFY wakes it and now and then anyway; claims what it gets by a lease; and
sends few Celery messages for many changes. A message that comes to nothing, because Redis lost it or a worker died, is
sent again when the lease has run out. Several dispatchers at once do not disturb each other.
"""

import os
import random
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import psycopg
from kombu.exceptions import OperationalError as BrokerError
from planner_common import metrics, multiprocess, tracing
from planner_common.libpq import KEEPALIVES, libpq_url, options, timeouts
from planner_common.logging import configure_logging, get_logger, in_short
from planner_common.messages import QUEUE_OF, Channel, Queue, Task
from planner_common.presence import Presence
from planner_common.settings import HEARTBEAT_SECONDS, Settings, settings_or_exit
from planner_common.watchdog import Watchdog
from psycopg.abc import PQGen
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from planner_worker.app import SOCKET_SECONDS, app
from planner_worker.due import Database, Handout, Source
from planner_worker.due.changes import Changes
from planner_worker.due.deliveries import Deliveries
from planner_worker.heartbeat import beat

LONG_QUEUE_SECONDS = 0.05
"""How soon a queue that is long is looked at again."""
PACE_SECONDS = 0.05
"""Between the beginnings of two turns, unless there is more than one turn takes. Who wakes it first after a while is
dispatched at once; of many changes, many then share a turn, a message and a fan-out."""
PRUNE_SECONDS = 600.0
STATEMENT_SECONDS = 10
ANSWER_SECONDS = 15
"""How long an answer of PostgreSQL is waited for. Its own bound on statements is of no use when it is frozen."""
STOP_SECONDS = 10
"""How long it may take to stop when told to, even if something hangs."""

logger = get_logger("planner_worker.dispatcher")


class Routine:
    """What is to be done now and then. Two dispatchers ask for it twice, which does no harm."""

    def __init__(self, settings: Settings) -> None:
        self.every = {Task.PRUNE: PRUNE_SECONDS, Task.AUDIT: settings.audit_seconds}
        self._at = dict.fromkeys(self.every, 0.0)

    def due(self) -> list[Task]:
        """What it is time for."""
        return [task for task, seconds in self.every.items() if seconds > 0 and time.monotonic() >= self._at[task]]

    def asked(self, task: Task) -> None:
        self._at[task] = time.monotonic() + self.every[task]


class Connection(psycopg.Connection[tuple[object, ...]]):
    """One that waits `ANSWER_SECONDS` and no longer. Raises OperationalError."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)


class Dispatcher:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = False
        self.away: dict[str, float] = {}  # dependency → since when
        self.failures = 0
        self.sources: list[Source] = [Deliveries(settings), Changes(settings)]
        self.routine = Routine(settings)
        self.database: Database | None = None
        self.redis = Redis.from_url(
            settings.broker(),
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.told_to_stop, self.tell = os.pipe()
        self.watchdog = Watchdog("main loop", settings.watchdog_seconds)
        self.planned = time.monotonic()  # when the next turn is to begin at the latest

    def stop(self) -> None:
        """End the turning, soon, wherever it is. May be called by a signal or from another thread."""
        self.stopping = True
        os.write(self.tell, b"!")  # ends a wait

    def run(self) -> None:
        """Turn until told to stop. An outage is waited out; anything unexpected ends the process."""
        while not self.stopping:
            beat(self.settings.heartbeat_file)
            self.watchdog.beat()
            metrics.dispatch_turned.set_to_current_time()
            metrics.dispatch_lag.observe(max(0.0, time.monotonic() - self.planned))
            try:
                database = self.connect()
                began = time.monotonic()
                with metrics.dispatch_turn_seconds.time():
                    pause = self.turn(database)
                self.planned = time.monotonic()
                if pause:
                    if not self.woken(database):
                        self.wait(pause, database)
                    self.wait(began + PACE_SECONDS - time.monotonic())
                    self.woken(database)
            except psycopg.OperationalError as error:
                self.disconnect()
                self.outage("postgresql", error)
            except (RedisError, BrokerError) as error:
                self.outage("redis", error)
        self.disconnect()
        self.redis.close()

    def connect(self) -> Database:
        """The connection, which listens. It need not wait for the disk: a lost lease is only a second message."""
        if self.database is None:
            self.database = Connection.connect(
                libpq_url(self.settings),
                autocommit=True,
                application_name="planner-dispatcher",
                options=options({**timeouts(STATEMENT_SECONDS), "synchronous_commit": "off"}),
                **KEEPALIVES,  # type: ignore[arg-type]  # libpq's numbers
            )
            self.database.execute(f"LISTEN {Channel.CHANGES}")
            self.back("postgresql")
        return self.database

    def disconnect(self) -> None:
        if self.database is not None:
            self.database.close()
            self.database = None

    def turn(self, database: Database) -> float:
        """Dispatch once what is due. Returns how long to wait before the next turn, in seconds."""
        for task in self.routine.due():
            self.send(task, QUEUE_OF[task], headers={"due": time.time()}, expires=self.routine.every[task])
            self.routine.asked(task)
        lengths = self.lengths()
        pause = self.settings.dispatch_poll_seconds
        for source in self.sources:
            short = [queue for queue in source.queues if lengths[queue] < source.long_queue]
            if len(short) < len(source.queues):
                pause = min(pause, LONG_QUEUE_SECONDS)
            if short:
                handouts, more = source.claim(database, short)
                self.hand_out(database, source, handouts)
                if more:
                    pause = 0
        self.back("redis")
        return pause

    def lengths(self) -> dict[Queue, int]:
        """How many messages wait in which queue."""
        queues = [queue for source in self.sources for queue in source.queues]
        with self.redis.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.llen(queue)
            return dict(zip(queues, pipeline.execute(), strict=True))

    def hand_out(self, database: Database, source: Source, handouts: Sequence[Handout]) -> None:
        """Hand messages to the broker; what it does not take is released."""
        for number, handout in enumerate(handouts):
            try:
                with tracing.handing_out(handout.task, handout.queue, handout.traces) as traces:
                    headers = handout.headers() | ({"traces": traces} if traces else {})
                    self.send(handout.task, handout.queue, handout.argument, headers=headers)
            except (RedisError, BrokerError):
                source.release(database, handouts[number:])
                raise

    def send(
        self,
        task: Task,
        queue: Queue,
        *arguments: object,
        headers: Mapping[str, object],
        expires: float | None = None,
    ) -> None:
        """Hand one message to the broker. Raises BrokerError or RedisError when it does not take it."""
        try:
            message = app.send_task(
                task.value,
                arguments,
                queue=queue.value,
                headers=headers,
                expires=expires,
                # Not only configured: a task sent by name would subscribe to its result otherwise.
                ignore_result=True,
            )
        except (RedisError, BrokerError):
            metrics.dispatch_publish_errors.labels(queue).inc()
            raise
        metrics.dispatch_messages.labels(queue).inc()
        number = len(arguments[0]) if arguments and isinstance(arguments[0], list) else 0
        logger.debug(
            "handed out", task=task.value, task_id=message.id, queue=queue.value, number=number,
            request_ids=headers.get("request_ids", []),
        )  # fmt: skip

    def woken(self, database: Database) -> bool:
        """Whether a NOTIFY has arrived; takes all there are."""
        return bool(list(database.notifies(timeout=0)))

    def wait(self, seconds: float, database: Database | None = None) -> None:
        """Sleep until something comes from PostgreSQL, a signal comes, or the time is over."""
        if seconds <= 0:
            return
        readable = [self.told_to_stop] if database is None else [self.told_to_stop, database.fileno()]
        seconds = min(seconds, HEARTBEAT_SECONDS)
        self.planned = time.monotonic() + seconds
        select.select(readable, [], [], seconds)
        if database is not None:
            self.woken(database)

    def outage(self, dependency: str, error: Exception) -> None:
        """Log it once, then wait: longer each time, up to 2 s, and not all dispatchers in step."""
        metrics.dispatch_errors.labels(dependency).inc()
        metrics.dispatch_up.labels(dependency).set(0)
        if dependency not in self.away:
            self.away[dependency] = time.monotonic()
            logger.warning("dependency away", dependency=dependency, error=in_short(error))
        self.failures += 1
        self.wait(min(2.0, 0.1 * 2 ** min(self.failures, 5)) * random.uniform(0.5, 1))  # noqa: S311  # jitter

    def back(self, dependency: str) -> None:
        metrics.dispatch_up.labels(dependency).set(1)
        if since := self.away.pop(dependency, None):
            logger.info("dependency back", dependency=dependency, seconds=round(time.monotonic() - since, 1))
        if not self.away:
            self.failures = 0


def main() -> None:
    settings = settings_or_exit()
    configure_logging(settings, "dispatcher")
    tracing.start(settings, "dispatcher")
    metrics.begin("dispatcher", settings.planner_revision)
    try:
        multiprocess.serve(settings.worker_metrics_host, settings.dispatcher_metrics_port, "dispatcher")
    except OSError as error:
        sys.exit(f"dispatcher: DISPATCHER_METRICS_PORT {settings.dispatcher_metrics_port}: {error.strerror}")
    dispatcher = Dispatcher(settings)
    presence = Presence(settings, "dispatcher")

    def stop(_signal: int, _frame: FrameType | None) -> None:
        dispatcher.stop()
        signal.alarm(STOP_SECONDS)  # kills, should a frozen server keep us; no harm, the lease runs out

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    logger.info("ready")
    presence.start()
    dispatcher.watchdog.start()
    dispatcher.run()
    presence.stop()
    tracing.stop()
    logger.info("stopped")


if __name__ == "__main__":
    main()
