"""Rate limits: declared through slowapi, which itself would ask Redis synchronously, and counted here.

What is limited is a caller (an account; an address where nobody is logged in) on an endpoint, in windows aligned to the
clock: the one counter that Redis answers is then all that the `X-RateLimit-*` headers need. While Redis is away, each
process counts for itself.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from itertools import chain
from typing import Any, TypeVar

from limits.aio.storage import MemoryStorage
from planner_common import tracing
from planner_common.settings import Settings
from redis.commands.core import AsyncScript
from slowapi import Limiter
from slowapi.wrappers import Limit, LimitGroup
from starlette.requests import Request

from planner_api.errors import Problem
from planner_api.gathering import Gathering
from planner_api.redis import AT_MOST, Guard, RedisAwayError, make_client

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

UNMATCHED = "unmatched"
"""Stands for an endpoint where there is none: unknown addresses and methods share one limit per caller."""

COUNT = """
local counts = {}
for i, key in ipairs(KEYS) do
    counts[i] = redis.call('INCR', key)
    if counts[i] == 1 then redis.call('EXPIRE', key, ARGV[i]) end
end
return counts
"""
"""Counts up the keys, each of which lives for its number of seconds since it was first counted, and returns them."""

_resolving: ContextVar[Settings] = ContextVar("settings whose limits are being resolved")


def default_rate() -> str:
    return _resolving.get().rate_limit


def login_rate() -> str:
    return _resolving.get().rate_limit_login


def address(request: Request) -> str:
    """The address a request comes from, as uvicorn determined it (`TRUSTED_PROXIES`); of IPv6, the subscriber's /64."""
    host = request.client.host if request.client else "local"
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((parsed, 64), strict=False).network_address)
    return host


def caller_or_address(request: Request) -> str:
    caller = request.scope.get("caller")
    return f"account:{caller.account_id}" if caller else f"address:{address(request)}"


def name_of(endpoint: Callable[..., Any]) -> str:
    return f"{endpoint.__module__}.{endpoint.__name__}"


class Declarations(Limiter):
    """slowapi's register of limits, without its wrapper around the endpoint: that one asks Redis synchronously, wants a
    `request` argument, and calls what Python 3.14 deprecates."""

    def limit(  # type: ignore[override]  # of slowapi's options, those that need no wrapper
        self, limit_value: str | Callable[..., str], key_func: Callable[[Request], str] | None = None
    ) -> Callable[[EndpointT], EndpointT]:
        def declare(endpoint: EndpointT) -> EndpointT:
            group = LimitGroup(
                limit_value,
                key_func or self._key_func,
                scope=None,
                per_method=False,
                methods=None,
                error_message=None,
                exempt_when=None,
                cost=1,
                override_defaults=True,
            )
            self._dynamic_route_limits.setdefault(name_of(endpoint), []).append(group)
            return endpoint

        return declare

    def exempt(self, obj: EndpointT) -> EndpointT:
        """Leave an endpoint without a limit. Beside each use stands the reason."""
        self._exempt_routes.add(name_of(obj))
        return obj

    def resolve(self, settings: Settings) -> tuple[list[Limit], dict[str, list[Limit]]]:
        """The default limits, and those of endpoints that declare their own, as these settings say."""
        token = _resolving.set(settings)
        try:
            default = list(chain.from_iterable(self._default_limits))
            own = {name: list(chain.from_iterable(groups)) for name, groups in self._dynamic_route_limits.items()}
            return default, own | {name: [] for name in self._exempt_routes}
        finally:
            _resolving.reset(token)


limiter = Declarations(key_func=caller_or_address, default_limits=[default_rate], key_style="endpoint")


@dataclass(frozen=True, slots=True)
class Count:
    """How a caller stands against one limit."""

    limit: int
    remaining: int
    reset: float
    """When the window ends, in seconds since the epoch."""

    def headers(self, now: float) -> list[tuple[bytes, bytes]]:
        fields = [
            (b"x-ratelimit-limit", str(self.limit)),
            (b"x-ratelimit-remaining", str(max(0, self.remaining))),
            (b"x-ratelimit-reset", str(math.ceil(self.reset))),
        ]
        if self.remaining < 0:
            fields.append((b"retry-after", str(max(1, math.ceil(self.reset - now)))))
        return [(name, value.encode()) for name, value in fields]


class RateLimits:
    """The limits of one application: counted in Redis, or in this process while Redis is away."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self._guard = guard
        self._client = make_client(settings.limits(), one_connection=True)
        script = self._client.register_script(COUNT)
        self._shared: Gathering[AsyncScript, tuple[str, int], int] = Gathering(
            partial(tracing.redis, self._client.evalsha), lambda: nullcontext(script), self._count_all, AT_MOST
        )
        self._own = MemoryStorage()
        self._default, self._declared = limiter.resolve(settings)

    async def close(self) -> None:
        await self._client.aclose()

    def of(self, endpoint: str) -> list[Limit]:
        """The limits of an endpoint by the name that `name_of` gives it."""
        return self._declared.get(endpoint, self._default)

    async def check(self, request: Request, endpoint: str) -> None:
        """Count this request. Raises a 429 problem when that was one too many; leaves the headers in the scope."""
        now = time.time()
        worst: Count | None = None
        for limit in self.of(endpoint):
            count = await self._count(limit, endpoint, limit.key_func(request), now)
            if worst is None or count.remaining < worst.remaining:
                worst = count
        if worst is None:
            return
        request.scope["rate_limit_headers"] = worst.headers(now)
        if worst.remaining < 0:
            raise Problem(
                429,
                "too-many-requests",
                "Too many requests",
                f"The limit here is {worst.limit} in the present window. Retry-After says when the next one begins.",
            )

    async def _count_all(self, script: AsyncScript, counted: Sequence[tuple[str, int]]) -> Sequence[int]:
        counts: Sequence[int] = await self._guard.call(
            script, [name for name, _ in counted], [expiry for _, expiry in counted]
        )
        return counts

    async def _count(self, limit: Limit, endpoint: str, key: str, now: float) -> Count:
        expiry = limit.limit.get_expiry()
        window = int(now // expiry)
        name = limit.limit.key_for(key, endpoint, window)
        try:
            number = await self._shared((name, expiry))
        except RedisAwayError:
            number = await self._own.incr(name, expiry)
        return Count(limit.limit.amount, limit.limit.amount - number, (window + 1) * expiry)
