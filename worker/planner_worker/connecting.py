"""Connections to addresses that users gave: where names lead is looked at here, at the last moment (see `outbound`)."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpcore
from planner_common.networks import Networks, is_public

CONNECT_SECONDS = 5.0
"""For one address to take a connection. Several are tried in turn."""
ADDRESSES = 4
"""How many addresses of a name are tried."""
RESOLVERS = 16
"""Names that a process resolves at a time."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to the name's addresses, now. Raises OSError."""


class RefusedError(Exception):
    """This address leads where it may not, or cannot be asked for: nothing was sent, and trying again is no use."""


class UnreachableError(Exception):
    """Nobody there to talk to: nothing was sent."""


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
        if not found:
            raise UnreachableError(f"{host} has no address.")
        allowed = [address for address in found if is_public(ip_address(address), self._allowed)]
        if not allowed:
            raise RefusedError(f"{host} resolves to {', '.join(found)}, which is not a public address.")
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


def _reason(failure: BaseException | None) -> str:
    """What the system said, which libraries on the way have wrapped."""
    said = "no answer"
    while failure is not None:
        if isinstance(failure, OSError) and failure.errno:
            said = os.strerror(failure.errno)
        failure = failure.__cause__ or failure.__context__
    return said
