"""How the worker reaches addresses that users gave, so that none of them leads inside.

A name is resolved once for each try, when the connection is made; each of its addresses is looked at, and the
connection goes to an address that was looked at, not to the name again: what DNS says a moment later changes nothing.
Of several addresses those that are not allowed are left out; if none is left, the try is refused and nothing was sent.
TLS and the Host header go by the name, as ever.

No redirect is followed, no proxy or variable of the environment is asked, nothing is decompressed, no connection is
kept. Time is bounded as a whole, so that a server that drips a byte a second gains nothing, and so is what is read.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

import httpcore
import httpx
from planner_common.addresses import DEFAULT_PORTS, check_host
from planner_common.networks import Limits, Networks, is_public
from planner_common.settings import Settings

CONNECT_SECONDS = 5.0
"""For one address to take a connection. Several are tried in turn."""
BODY_SECONDS = 2.0
"""For the rest of an answer once its status is there: the status is what counts."""
ADDRESSES = 4
"""How many addresses of a name are tried."""
RESOLVERS = 16
"""Names that a process resolves at a time."""
AGENT = "Planner"

OURS = frozenset({"accept-encoding", "connection", "content-length", "host", "te", "transfer-encoding", "upgrade"})
"""Headers that say how messages travel. They are not the caller's to choose."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to the name's addresses, now. Raises OSError."""


class RefusedError(Exception):
    """This address leads where it may not, or cannot be asked for: nothing was sent, and trying again is no use."""


class UnreachableError(Exception):
    """Nobody there to talk to: nothing was sent."""


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


def _reason(failure: BaseException | None) -> str:
    """What the system said, which libraries on the way have wrapped."""
    said = "no answer"
    while failure is not None:
        if isinstance(failure, OSError) and failure.errno:
            said = os.strerror(failure.errno)
        failure = failure.__cause__ or failure.__context__
    return said


def _headers(target: httpx.URL, given: Mapping[str, str], content: bytes) -> list[tuple[str, str]]:
    own = {"Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity", "Connection": "close"}
    if content:
        own["Content-Length"] = str(len(content))
    if not any(name.lower() == "user-agent" for name in given):
        own["User-Agent"] = AGENT
    return [*own.items(), *((name, value) for name, value in given.items() if name.lower() not in OURS)]


class Resolver:
    """The system's resolver, on threads of its own: names that never resolve do not hold up others' work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(info[4][0]) for info in found]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Checked(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network, but for the choice of the address."""

    def __init__(self, resolve: Resolve, allowed: Networks) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises RefusedError, or UnreachableError when no address takes the connection."""
        failure: Exception | None = None
        for address in (await self._addresses(host, port))[:ADDRESSES]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout or CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise UnreachableError(f"Cannot connect to {host}, port {port}: {_reason(failure)}") from failure

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise UnreachableError(f"{host} does not resolve: {error}") from error
        allowed = [address for address in found if is_public(ip_address(address), self._allowed)]
        if not allowed:
            raise RefusedError(f"{host} resolves to {', '.join(found) or 'nothing'}, which is not a public address.")
        return allowed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  # httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        raise RefusedError(f"{path} is not an address.")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
