"""One message's way through a plugin of Apprise: what it asks of the network, and what it hears."""

import asyncio
import time
from concurrent.futures import CancelledError
from contextvars import ContextVar
from dataclasses import dataclass, field

from planner_worker.connecting import RefusedError, UnreachableError
from planner_worker.outbound import Answer, Outbound, UnansweredError

REQUEST_SECONDS = 10.0
"""For one request of a plugin."""
GRACE_SECONDS = 1.0
"""What threads wait longer than the event loop, so that its word comes first."""
READ_LIMIT = 1_000_000
"""Bytes of an answer that are read. Plugins look for an identifier or an error in it."""

Failure = RefusedError | UnreachableError | UnansweredError


@dataclass(slots=True)
class Exchange:
    """A request of a plugin, and what came of it: an answer or a failure."""

    method: str
    answer: Answer | None = None
    failure: Failure | None = None

    @property
    def open(self) -> bool:
        """Whether it is still going on."""
        return self.answer is None and self.failure is None

    @property
    def taken(self) -> bool:
        """Whether it may have changed something at the other side."""
        if self.method in {"GET", "HEAD"}:
            return False
        if self.answer is not None:
            return self.answer.status in range(200, 300)
        return isinstance(self.failure, UnansweredError)


@dataclass(slots=True)
class Call:
    """One message's way through a plugin: in a thread, but its requests are made by the event loop."""

    outbound: Outbound
    loop: asyncio.AbstractEventLoop
    seconds: float
    exchanges: list[Exchange] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """What the plugin had to say."""
    until: float = 0.0

    def begin(self) -> None:
        """From now on this thread's requests belong to this call, and the time runs."""
        self.until = time.monotonic() + self.seconds
        CALL.set(self)

    def request(self, method: str, url: str, headers: dict[str, str], content: bytes) -> Answer:
        """Raises what Outbound raises."""
        exchange = Exchange(method)
        self.exchanges.append(exchange)
        try:
            exchange.answer = self._request(method, url, headers, content)
        except (RefusedError, UnreachableError, UnansweredError) as failure:
            exchange.failure = failure
            raise
        return exchange.answer

    def _request(self, method: str, url: str, headers: dict[str, str], content: bytes) -> Answer:
        left = min(self.until - time.monotonic(), REQUEST_SECONDS)
        if left <= 0:
            raise UnreachableError(f"The service needs more than {self.seconds:g} s.")
        asked = self.outbound.request(method, url, headers=headers, content=content, seconds=left, limit=READ_LIMIT)
        future = asyncio.run_coroutine_threadsafe(asked, self.loop)
        try:
            return future.result(left + GRACE_SECONDS)
        except (TimeoutError, CancelledError) as error:  # the event loop is ending
            future.cancel()
            raise UnansweredError("Nobody waited for the answer.") from error


CALL: ContextVar[Call] = ContextVar("call")
