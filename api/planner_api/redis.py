"""Redis as the API uses it: for speed only. One guard stands before it, so that its absence costs nobody a request.

The first operation that fails or takes too long opens the guard: from then on nobody asks Redis (the cache misses,
limits are counted in this process) until a task in the background has had an answer to a PING.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import ParamSpec, TypeVar

from planner_common import metrics, tracing
from planner_common.logging import get_logger
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

OPERATION_SECONDS = 0.1
"""All that one operation may take, connecting included."""
PROBE_SECONDS = 1.0
CONNECTIONS = 50
"""How many connections a process has for the cache, and as many for the limits."""

P = ParamSpec("P")
T = TypeVar("T")
logger = get_logger(__name__)


class RedisAwayError(Exception):
    """Redis did not answer, or the guard knows that it would not."""


def make_client(url: str) -> Redis:
    """A client that never tries twice. Its operations are bounded by the guard, connecting included."""
    return Redis.from_pool(make_pool(url))


def make_pool(url: str) -> BlockingConnectionPool:
    """Connections for a client; who wants one more than there are waits, as long as the guard lets them."""
    return BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, timeout=None, retry=Retry(NoBackoff(), 0), socket_timeout=None
    )


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
            with contextlib.suppress(RedisError, OSError):
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

    async def get(self, key: str) -> bytes | None:
        """The entry, or None when there is none or Redis is away."""
        try:
            value = await self._guard.call(self._client.get, key)
        except RedisAwayError:
            metrics.cache_reads.labels("error").inc()
            return None
        metrics.cache_reads.labels("miss" if value is None else "hit").inc()
        assert not isinstance(value, str)  # noqa: S101  # the client does not decode
        return value

    async def put(self, key: str, value: bytes) -> None:
        """Keep an entry for `CACHE_SECONDS`. With Redis away, nothing happens."""
        with contextlib.suppress(RedisAwayError):
            await self._guard.call(self._client.set, key, value, ex=self._seconds)
