"""Sparing destinations: a pace per destination, and a circuit breaker for each that fails.

The pace is a token bucket in Redis, so that all workers keep it together; with Redis away each process keeps it for
itself. The breaker is each process's own: what is gained by sharing it is the few tries with which each finds out.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from planner_common.logging import get_logger, in_short
from planner_common.settings import Settings
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

REDIS_SECONDS = 0.2
"""The longest that Redis is waited for."""
MUTE_SECONDS = 5.0
"""How long it is not asked after it did not answer."""
BURST_SECONDS = 1.0
"""A bucket holds what the pace allows in this time."""
REMEMBERED = 10_000
"""Destinations of which a process knows how they fare."""

# KEYS: buckets. ARGV: for each, tokens wanted, tokens per second, the bucket's size. Returns for each how many are
# given, and after how many milliseconds those that were not may come again: at the end of the line of those that were
# told to come again before, so that they are neither early nor all at once. By Redis's own clock: workers' may differ.
BUCKETS = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local given = {}
for i, key in ipairs(KEYS) do
  local wanted, rate, size = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local bucket = redis.call('HMGET', key, 'tokens', 'at', 'line')
  local tokens = math.min(size, (tonumber(bucket[1]) or size) + math.max(0, now - (tonumber(bucket[2]) or now)) * rate)
  local taken = math.min(wanted, math.floor(tokens))
  tokens = tokens - taken
  local line = math.max(now + math.max(0, 1 - tokens) / rate, tonumber(bucket[3]) or 0)
  given[2*i-1] = taken
  given[2*i] = math.ceil((line - now) * 1000)
  if taken < wanted then line = line + (wanted - taken) / rate end
  redis.call('HSET', key, 'tokens', tostring(tokens), 'at', string.format('%.6f', now),
             'line', string.format('%.6f', line))
  redis.call('PEXPIRE', key, math.ceil((line - now + size / rate) * 1000) + 1000)
end
return given
"""

logger = get_logger("planner_worker")


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many messages may go to a destination now, and in how many seconds the first of the others."""

    number: int
    wait: float


class Pace:
    """Token buckets. Used in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._redis = Redis.from_url(
            settings.limits(),
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._redis.register_script(BUCKETS)
        self._muted_until = 0.0
        self._own: OrderedDict[str, tuple[float, float, float]] = OrderedDict()  # tokens, when, the end of the line

    async def take(self, wanted: Mapping[str, tuple[int, float]]) -> dict[str, Allowance]:
        """For each destination as many of the tokens wanted as its pace allows: `{host: (wanted, per second)}`."""
        if not wanted:
            return {}
        if time.monotonic() >= self._muted_until:
            arguments = [value for number, rate in wanted.values() for value in (number, rate, _size(rate))]
            try:
                given = await self._script(keys=[f"pace:{host}" for host in wanted], args=arguments)
            except RedisError as error:
                self._muted_until = time.monotonic() + MUTE_SECONDS
                logger.warning("dependency away", dependency="redis", error=in_short(error))
            else:
                return {
                    host: Allowance(int(given[2 * place]), given[2 * place + 1] / 1000)
                    for place, host in enumerate(wanted)
                }
        return {host: self._take_own(host, number, rate) for host, (number, rate) in wanted.items()}

    def _take_own(self, host: str, wanted: int, rate: float) -> Allowance:
        """What the script does, of this process alone."""
        now, size = time.monotonic(), _size(rate)
        tokens, at, line = self._own.pop(host, (size, now, now))
        tokens = min(size, tokens + (now - at) * rate)
        taken = min(wanted, int(tokens))
        tokens -= taken
        line = max(now + max(0.0, 1 - tokens) / rate, line)
        self._own[host] = tokens, now, line + (wanted - taken) / rate
        if len(self._own) > REMEMBERED:
            self._own.popitem(last=False)
        return Allowance(taken, line - now)

    async def close(self) -> None:
        await self._redis.aclose()


def _size(rate: float) -> float:
    return max(1.0, rate * BURST_SECONDS)


@dataclass(slots=True)
class _Destination:
    failures: int = 0  # in a row
    closed_until: float = 0.0
    trying: bool = False  # one message finds out whether it is back


class Breakers:
    """A circuit breaker per destination: after so many failures in a row it is left alone for a while; then one message
    finds out whether it is back, and only when that one has gone well do the others follow."""

    def __init__(self, failures: int, seconds: float) -> None:
        self._failures = failures
        self._seconds = seconds
        self._known: OrderedDict[str, _Destination] = OrderedDict()

    def ask(self, host: str, wanted: int) -> Allowance:
        """How many messages may be sent there now. Whoever is allowed one reports by `note` how it went."""
        destination = self._known.get(host)
        if destination is None or destination.failures < self._failures:
            return Allowance(wanted, 0.0)
        left = destination.closed_until - time.monotonic()
        if left > 0 or destination.trying:
            # Not all at the same moment.
            return Allowance(0, max(left, 0.0) + random.uniform(0, self._seconds))  # noqa: S311
        destination.trying = True
        return Allowance(min(1, wanted), self._seconds)

    def note(self, host: str, *, failed: bool) -> None:
        """How a message to it fared; `failed`: it was the destination's fault, whatever the message."""
        if not failed:
            self._known.pop(host, None)
            return
        destination = self._known.setdefault(host, _Destination())
        self._known.move_to_end(host)
        destination.failures += 1
        destination.trying = False
        if destination.failures >= self._failures:
            destination.closed_until = time.monotonic() + self._seconds
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def forget_trial(self, host: str) -> None:
        """The message that should have found out was not sent after all."""
        if destination := self._known.get(host):
            destination.trying = False
