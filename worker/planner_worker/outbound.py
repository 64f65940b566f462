"""How the worker reaches addresses that users gave, so that none of them leads inside.

A name is resolved once for each try, when the connection is made; each of its addresses is looked at, and the
connection goes to an address that was looked at, not to the name again: what DNS says a moment later changes nothing.
Of several addresses those that are not allowed are left out; if none is left, the try is refused and nothing was sent.
TLS and the Host header go by the name, as ever.

No redirect is followed, no proxy or variable of the environment is asked, nothing is decompressed, no connection is
kept. Time is bounded as a whole, so that a server that drips a byte a second gains nothing, and so is what is read.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpcore
from planner_common.absent import without
from planner_common.addresses import DEFAULT_PORTS, check_host
from planner_common.networks import Limits
from planner_common.settings import Settings

from planner_worker.connecting import Checked, RefusedError, Resolve, Resolver, UnreachableError

# Where its command line has what it needs, it is imported as well: 4 MB.
with without("pygments"):
    import httpx

BODY_SECONDS = 2.0
"""For the rest of an answer once its status is there: the status is what counts."""
AGENT = "Planner"

OURS = frozenset({"accept-encoding", "connection", "content-length", "host", "te", "transfer-encoding", "upgrade"})
"""Headers that say how messages travel. They are not the caller's to choose."""


class UnansweredError(Exception):
    """The request, or part of it, was sent, and no status came back: the other side may have taken it."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """As it travelled, up to the limit; less if it did not come in time."""

    @property
    def line(self) -> str:
        return f"HTTP {self.status} {self.reason}".rstrip()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Outbound:
    """`Outbound(settings)`: made in the event loop that uses it, and closed there."""

    def __init__(
        self, settings: Settings, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """`resolve` and `tls` are for tests, which have names and certificates of their own."""
        self._limits = Limits.of(settings)
        self._resolver = Resolver()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=Checked(resolve or self._resolver, self._limits.networks),
        )

    async def close(self) -> None:
        await self._pool.aclose()
        self._resolver.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        seconds: float,
        limit: int,
    ) -> Answer:
        """The answer to one request, whatever its status; of the body `limit` bytes.

        Raises RefusedError, UnreachableError or UnansweredError.
        """
        target = self._target(url)
        sent = False

        async def trace(event: str, _info: object) -> None:
            nonlocal sent
            sent = sent or event == "http11.send_request_headers.started"

        request = httpcore.Request(
            method,
            httpcore.URL(
                scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path or b"/"
            ),
            headers=_headers(target, headers, content),
            content=content,
            extensions={"trace": trace},
        )
        try:
            return await self._answer(request, seconds, limit)
        except httpcore.LocalProtocolError as error:  # found before the first byte leaves
            raise RefusedError(f"This request cannot be written as HTTP: {error}.") from error
        except TimeoutError as error:
            what = f"{target.host} did not answer within {seconds:g} s"
            raise UnansweredError(what) if sent else UnreachableError(what) from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            what = f"{target.host}: {str(error) or type(error).__name__}"
            raise UnansweredError(what) if sent else UnreachableError(what) from error

    async def _answer(self, request: httpcore.Request, seconds: float, limit: int) -> Answer:
        response: httpcore.Response | None = None
        body = bytearray()
        try:
            async with asyncio.timeout(seconds) as timeout:
                response = await self._pool.handle_async_request(request)
                now = asyncio.get_running_loop().time()
                timeout.reschedule(min(timeout.when() or now, now + BODY_SECONDS))
                async for chunk in response.aiter_stream():
                    body += chunk
                    if len(body) >= limit:
                        break
        except (TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
            if response is None:
                raise
        finally:
            if response is not None:
                await response.aclose()
        reason = response.extensions.get("reason_phrase", b"").decode("latin-1")
        fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
        return Answer(response.status, reason, fields, bytes(body[:limit]))

    def _target(self, url: str) -> httpx.URL:
        """The URL, as far as it can be judged before its name is resolved. Raises RefusedError."""
        try:
            target = httpx.URL(url)
            check_host(target.host, self._limits.networks)
        except (httpx.InvalidURL, ValueError) as error:
            raise RefusedError(str(error)) from error
        if target.scheme not in self._limits.schemes:
            raise RefusedError(f"{target.scheme or 'no scheme'}:// is not allowed here.")
        if target.userinfo:
            raise RefusedError("The URL contains a user name or password.")
        port = DEFAULT_PORTS[target.scheme] if target.port is None else target.port
        if port not in self._limits.ports:
            raise RefusedError(f"Port {port} is not allowed here.")
        return target


def _headers(target: httpx.URL, given: Mapping[str, str], content: bytes) -> list[tuple[str, str]]:
    own = {"Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity", "Connection": "close"}
    if content:
        own["Content-Length"] = str(len(content))
    if not any(name.lower() == "user-agent" for name in given):
        own["User-Agent"] = AGENT
    return [*own.items(), *((name, value) for name, value in given.items() if name.lower() not in OURS)]
