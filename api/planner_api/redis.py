"""Redis as the API uses it: for speed only. One guard stands before it, so that its absence costs nobody a request.

The first operation that fails or takes too long opens the guard: from then on nobody asks Redis (the cache misses,
limits are counted in this process) until a task in the background has had an answer to a PING.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from contextvars import Context
from functools import partial
from typing import ParamSpec, TypeVar

from planner_common import metrics, tracing
from planner_common.logging import get_logger
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from planner_api.gathering import Gathering

OPERATION_SECONDS = 0.1
"""All that one operation may take, connecting included."""
PROBE_SECONDS = 1.0
CONNECTIONS = 50
"""How many connections a process has for the cache, and as many for the limits."""

AT_MOST = 100
"""How many commands go to Redis together."""
READ = {result: metrics.cache_reads.labels(result) for result in ("hit", "miss", "error")}

P = ParamSpec("P")
T = TypeVar("T")
logger = get_logger(__name__)


class RedisAwayError(Exception):
    """Redis did not answer, or the guard knows that it would not."""


def make_client(url: str, *, one_connection: bool = False) -> Redis:
    """A client that never tries twice; who wants one more connection than there are waits. Its operations are bounded
    by the guard, connecting included. `one_connection`: for who asks one thing at a time."""
    pool = BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, timeout=None, retry=Retry(NoBackoff(), 0), socket_timeout=None
    )
    client = Redis(connection_pool=pool, single_connection_client=one_connection)
    client.auto_close_connection_pool = True
    return client


class Guard:
    """A circuit breaker for one Redis instance."""

    def __init__(self, probe: Redis) -> None:
        self._probe = probe
        self._probing: asyncio.Task[None] | None = None
        self._excused = False
        self.failures = 0
        """How many operations failed: what Redis's absence has cost requests so far."""

    @property
    def is_open(self) -> bool:
        return self._probing is not None

    async def call(self, operation: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `operation(*args)` gives. Raises RedisAwayError when Redis fails; while the guard is open, at once."""
        if self._probing is not None:
            raise RedisAwayError
        started = time.monotonic()
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                with tracing.redis(operation):
                    result = await operation(*args, **kwargs)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self.failures += 1
            # Much later than the timeout: this process was busy, which says nothing about Redis. But twice in a row?
            was_late = time.monotonic() - started > 2 * OPERATION_SECONDS
            if self._excused or not was_late:
                self._open(type(error).__name__)
            self._excused = was_late
            raise RedisAwayError from error
        self._excused = False
        return result

    def _open(self, reason: str) -> None:
        if self._probing is None:
            logger.warning("redis_away", reason=reason)
            # In a context of its own: what it logs is not of the request that happened to fail first.
            self._probing = asyncio.create_task(self._probe_until_it_answers(), context=Context())

    async def _probe_until_it_answers(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            with suppress(RedisError, OSError):
                async with asyncio.timeout(OPERATION_SECONDS):
                    await self._probe.ping()
                break
        logger.info("redis_back")
        self._probing = None

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)


class Cache:
    """Answers that are dear to make. A key holds the revision of what it shows, so an entry can't be stale."""

    def __init__(self, client: Redis, guard: Guard, seconds: int) -> None:
        self._client = client
        self._guard = guard
        self._seconds = seconds
        self._read: Gathering[Redis, str, bytes | None] = Gathering(
            partial(tracing.redis, client.mget), lambda: nullcontext(client), self._get, AT_MOST
        )

    async def _get(self, client: Redis, keys: Sequence[str]) -> Sequence[bytes | None]:
        return await self._guard.call(client.mget, keys)  # type: ignore[arg-type]  # the client does not decode

    async def get(self, key: str) -> bytes | None:
        """The entry, or None when there is none or Redis is away."""
        try:
            value = await self._read(key)
        except RedisAwayError:
            READ["error"].inc()
            return None
        READ["miss" if value is None else "hit"].inc()
        return value

    async def put(self, key: str, value: bytes) -> None:
        """Keep an entry for `CACHE_SECONDS`. With Redis away, nothing happens."""
        with suppress(RedisAwayError):
            await self._guard.call(self._client.set, key, value, ex=self._seconds)
