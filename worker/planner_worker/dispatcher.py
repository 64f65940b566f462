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
from types import FrameType

import psycopg
from kombu.exceptions import OperationalError as BrokerError
from planner_common import metrics
from planner_common.database import KEEPALIVES, libpq_url, timeouts
from planner_common.logging import configure_logging, get_logger, in_short
from planner_common.messages import QUEUE_OF, Channel, Queue, Task
from planner_common.settings import HEARTBEAT_SECONDS, Settings, settings_or_exit
from prometheus_client import start_http_server
from psycopg.rows import class_row
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from planner_worker.app import SOCKET_SECONDS, app
from planner_worker.heartbeat import beat
from planner_worker.packing import Claim, pack

CLAIM_LIMIT = 1_000
"""Changes claimed at once."""
LONG_QUEUE = 10
"""Messages waiting in the broker from which on it is fed no more: what waits there too long is dispatched twice."""
LONG_QUEUE_SECONDS = 0.05
PRUNE_SECONDS = 600
STOP_SECONDS = 10
"""How long it may take to stop when told to, even if something hangs."""

# MATERIALIZED, so that it is evaluated once and the limit holds. The token must not overflow: it would stop everything.
CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id FROM changes
         WHERE fanned_out_at IS NULL AND (lease_until IS NULL OR lease_until < now())
         ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE changes SET lease_until = now() + make_interval(secs => %(lease)s), claims = LEAST(claims + 1, 32767)
      FROM due WHERE changes.id = due.id
    RETURNING changes.id, audience_size, request_id, claims
"""

# Only while the lease is still ours; as if it had never been claimed.
RELEASE = """
    UPDATE changes SET lease_until = NULL, claims = changes.claims - 1
      FROM unnest(%(ids)s::bigint[], %(claims)s::smallint[]) AS held(id, claims)
     WHERE changes.id = held.id AND changes.claims = held.claims AND fanned_out_at IS NULL
"""

logger = get_logger("planner_worker.dispatcher")


class Dispatcher:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = False
        self.away: dict[str, float] = {}  # dependency → since when
        self.failures = 0
        self.prune_at = 0.0
        self.database: psycopg.Connection[tuple[object, ...]] | None = None
        self.redis = Redis.from_url(
            settings.broker(),
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.told_to_stop, self.tell = os.pipe()

    def stop(self) -> None:
        """End the turning, soon, wherever it is. May be called by a signal or from another thread."""
        self.stopping = True
        os.write(self.tell, b"!")  # ends a wait

    def run(self) -> None:
        """Turn until told to stop. An outage is waited out; anything unexpected ends the process."""
        while not self.stopping:
            beat(self.settings.heartbeat_file)
            try:
                database = self.connect()
                pause = self.turn(database)
                if pause and not self.woken(database):
                    self.wait(pause, database)
            except psycopg.OperationalError as error:
                self.disconnect()
                self.outage("postgresql", error)
            except (RedisError, BrokerError) as error:
                self.outage("redis", error)
        self.disconnect()
        self.redis.close()

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """The connection, which listens. It need not wait for the disk: a lost lease is only a second message."""
        if self.database is None:
            options = {**timeouts(statement_seconds=10), "synchronous_commit": "off"}
            self.database = psycopg.connect(
                libpq_url(self.settings),
                autocommit=True,
                application_name="planner-dispatcher",
                options=" ".join(f"-c {name}={value}" for name, value in options.items()),
                **KEEPALIVES,  # type: ignore[arg-type]  # libpq's numbers
            )
            self.database.execute(f"LISTEN {Channel.CHANGES}")
            self.back("postgresql")
        return self.database

    def disconnect(self) -> None:
        if self.database is not None:
            self.database.close()
            self.database = None

    def turn(self, database: psycopg.Connection[tuple[object, ...]]) -> float:
        """Dispatch once what is due. Returns how long to wait before the next turn, in seconds."""
        waiting = self.redis.llen(Queue.FAN_OUT)
        self.prune()
        if waiting >= LONG_QUEUE:
            return LONG_QUEUE_SECONDS
        with database.cursor(row_factory=class_row(Claim)) as cursor:
            claims = cursor.execute(CLAIM, {"limit": CLAIM_LIMIT, "lease": self.settings.lease_seconds}).fetchall()
        metrics.dispatch_claims.inc(len(claims))
        metrics.dispatch_reclaims.inc(sum(claim.claims > 1 for claim in claims))
        unsent = {claim.id: claim for claim in claims}
        try:
            for message in pack(sorted(claims, key=lambda claim: claim.id)):
                request_ids = sorted({claim.request_id for claim in message if claim.request_id})
                self.send(Task.FAN_OUT, [claim.id for claim in message], request_ids=request_ids)
                for claim in message:
                    del unsent[claim.id]
        except (RedisError, BrokerError):
            held = {"ids": list(unsent), "claims": [claim.claims for claim in unsent.values()]}
            database.execute(RELEASE, held)
            raise
        self.back("redis")
        return 0 if len(claims) == CLAIM_LIMIT else self.settings.dispatch_poll_seconds

    def prune(self) -> None:
        """Ask for a pruning now and then. Two dispatchers ask twice, which does no harm."""
        if time.monotonic() >= self.prune_at:
            self.send(Task.PRUNE, expires=PRUNE_SECONDS)
            self.prune_at = time.monotonic() + PRUNE_SECONDS

    def send(
        self, task: Task, *arguments: object, request_ids: list[str] | None = None, expires: float | None = None
    ) -> None:
        """Hand one message to the broker. Raises BrokerError or RedisError when it does not take it."""
        app.send_task(
            task.value,
            arguments,
            headers={"request_ids": request_ids or []},
            expires=expires,
            # Not only configured: a task sent by name would subscribe to its result otherwise.
            ignore_result=True,
        )
        metrics.dispatch_messages.labels(QUEUE_OF[task]).inc()

    def woken(self, database: psycopg.Connection[tuple[object, ...]]) -> bool:
        """Whether a NOTIFY has arrived; takes all there are."""
        return bool(list(database.notifies(timeout=0)))

    def wait(self, seconds: float, database: psycopg.Connection[tuple[object, ...]] | None = None) -> None:
        """Sleep until something comes from PostgreSQL, a signal comes, or the time is over."""
        readable = [self.told_to_stop] if database is None else [self.told_to_stop, database.fileno()]
        select.select(readable, [], [], min(seconds, HEARTBEAT_SECONDS))
        if database is not None:
            self.woken(database)

    def outage(self, dependency: str, error: Exception) -> None:
        """Log it once, then wait: longer each time, up to 2 s, and not all dispatchers in step."""
        metrics.dispatch_errors.labels(dependency).inc()
        if dependency not in self.away:
            self.away[dependency] = time.monotonic()
            logger.warning("dependency away", dependency=dependency, error=in_short(error))
        self.failures += 1
        self.wait(min(2.0, 0.1 * 2 ** min(self.failures, 5)) * random.uniform(0.5, 1))  # noqa: S311  # jitter

    def back(self, dependency: str) -> None:
        if since := self.away.pop(dependency, None):
            logger.info("dependency back", dependency=dependency, seconds=round(time.monotonic() - since, 1))
        if not self.away:
            self.failures = 0


def main() -> None:
    settings = settings_or_exit()
    configure_logging(settings, "dispatcher")
    try:
        start_http_server(settings.dispatcher_metrics_port, settings.worker_metrics_host)
    except OSError as error:
        sys.exit(f"dispatcher: DISPATCHER_METRICS_PORT {settings.dispatcher_metrics_port}: {error.strerror}")
    dispatcher = Dispatcher(settings)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        dispatcher.stop()
        signal.alarm(STOP_SECONDS)  # kills, should a frozen server keep us; no harm, the lease runs out

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    logger.info("ready")
    dispatcher.run()
    logger.info("stopped")


if __name__ == "__main__":
    main()
