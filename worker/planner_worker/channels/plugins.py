"""Apprise's plugins, and the one way to the network that they have here.

The plugins that Planner uses (`planner_common.services`) do HTTP by a module they know as `requests`. Once they are
loaded, what stands under that name in them is an object of ours: it hands every request to `planner_worker.outbound`,
which looks at the address, and knows neither redirects nor proxies, nor timeouts and certificates as a URL would like
them. A plugin that uses it outside of a `Call` fails. Attachments, which could be files of this machine and are also
how plugins take templates and keys, cannot be made at all.
"""

import asyncio
import io
import logging
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, partialmethod
from typing import Any

import apprise
import requests
import urllib3
from apprise.manager_plugins import NotificationManager
from requests.adapters import HTTPAdapter

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


class Adapter(HTTPAdapter):
    """From what requests asks to what it wants to hear, by way of the call that this thread is in."""

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        content = request.body or b""
        if not isinstance(content, str | bytes):
            raise requests.exceptions.InvalidSchema("only text and bytes can be sent")
        content = content.encode() if isinstance(content, str) else content
        headers = {name: str(value) for name, value in _decoded(request.headers).items()}
        try:
            answer = CALL.get().request(request.method or "", request.url or "", headers, content)
        except (RefusedError, UnreachableError, UnansweredError) as error:
            raise requests.ConnectionError(str(error), request=request) from error
        # A body that came compressed stays so: requests would take it apart, however large it becomes.
        kept = [(name, value) for name, value in answer.headers if name.lower() != "content-encoding"]
        response = urllib3.HTTPResponse(
            io.BytesIO(answer.body),
            urllib3.HTTPHeaderDict(kept),
            answer.status,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
        )
        return self.build_response(request, response)


def _decoded(headers: Any) -> dict[str, str]:
    return {
        name.decode("latin-1") if isinstance(name, bytes) else name: (
            value.decode("latin-1") if isinstance(value, bytes) else value
        )
        for name, value in headers.items()
    }


class Requests:
    """What plugins find as `requests`. What is not here does not exist for them."""

    codes = requests.codes
    auth = requests.auth
    exceptions = requests.exceptions
    RequestException = requests.RequestException
    TooManyRedirects = requests.TooManyRedirects
    Response = requests.Response

    PASSED = frozenset({"params", "data", "json", "headers", "cookies", "files", "auth"})
    """What a plugin may say of a request. Times, redirects, certificates and proxies are not its business."""

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            for scheme in ("http://", "https://"):
                session.mount(scheme, Adapter())
            passed = {name: value for name, value in kwargs.items() if name in self.PASSED}
            return session.request(method, url, allow_redirects=False, **passed)

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")


class Lines(logging.Handler):
    """Gives what a plugin logs to the call it is in. It would name addresses, so it goes nowhere else."""

    def emit(self, record: logging.LogRecord) -> None:
        if (call := CALL.get(None)) is not None:
            call.lines.append(record.getMessage())


_loading = threading.Lock()


def plugins() -> NotificationManager:
    """Apprise's plugins, loaded and guarded. The first time it takes a quarter of a second, and 25 MB for good."""
    with _loading:
        return _plugins()


@lru_cache(maxsize=1)
def _plugins() -> NotificationManager:
    manager = NotificationManager()
    manager.load_modules()
    guarded = Requests()
    for name, module in list(sys.modules.items()):
        if name.startswith("apprise.") and getattr(module, "requests", None) is requests:
            module.__dict__["requests"] = guarded
    apprise.AppriseAttachment.instantiate = staticmethod(_nothing)  # type: ignore[method-assign]
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(Lines())
    return manager


def _nothing(*_args: object, **_kwargs: object) -> None:
    """Instead of making an attachment."""
