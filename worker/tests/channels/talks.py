"""What the tests of channels share: messages to send, names that mean what a test says, and servers that misbehave."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from planner_common.deliveries import Purpose
from planner_common.settings import Settings
from planner_common.summaries import Reader
from planner_worker.channels import Item, Message
from planner_worker.connecting import Resolve

LOOPBACK = "127.0.0.0/8,::1/128"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

INSIDE = [
    "http://127.0.0.1/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://localhost/",
]
"""URLs that say where they lead."""
INSIDE_ADDRESSES = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "100.64.0.1", "0.0.0.0"]  # noqa: S104
"""Addresses that a name may turn out to have."""


def item(**values: Any) -> Item:
    """An invitation, or what `values` make of it."""
    given: dict[str, Any] = {
        "notification_id": UUID(int=1),
        "change_id": 7,
        "kind": "invitation",
        "revision": 1,
        "actor": "Ann",
        "diff": {},
        "event_id": UUID(int=2),
        "event_revision": 3,
        "uid": "standup@example.org",
        "title": "Standup",
        "description": None,
        "location": "Room 1",
        "url": None,
        "status": "confirmed",
        "all_day": False,
        "starts_at": datetime(2026, 11, 25, 8, 0, tzinfo=UTC),
        "ends_at": datetime(2026, 11, 25, 9, 0, tzinfo=UTC),
        "organizer_name": "Ann",
        "organizer_email": "ann@example.org",
        "at": NOW,
    }
    return Item(**given | values)


def message(address: dict[str, Any], *items: Item, **values: Any) -> Message:
    """A notification to this address: an invitation, unless there are other items."""
    given: dict[str, Any] = {
        "id": UUID(int=3),
        "purpose": Purpose.NOTIFICATION,
        "person_id": UUID(int=4),
        "channel_id": UUID(int=5),
        "address": address,
        "reader": Reader("en", "UTC"),
        "name": "Bob",
        "items": items or (item(),),
        "created_at": NOW,
    }
    return Message(**given | values)


def open_settings(port: int, **values: Any) -> Settings:
    """Settings with which a server of this machine may be reached."""
    return Settings(outbound_ports=str(port), outbound_networks=LOOPBACK, webhook_http=True, **values)


def names(**addresses: Sequence[str] | str) -> Resolve:
    """A resolver that knows these names (`_` for `.`). A list of lists answers each time with the next."""
    known = {name.replace("_", "."): value for name, value in addresses.items()}

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host not in known:
            raise OSError("Name or service not known")
        value = known[host]
        return [value] if isinstance(value, str) else value

    return resolve


class Closable(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


@asynccontextmanager
async def closing(what: T) -> AsyncIterator[T]:
    """This, closed in the end."""
    try:
        yield what
    finally:
        await what.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that talks like this; its port."""
    talks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(accepted, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def answering(raw: bytes) -> Talk:
    """Reads a request without a body and answers this."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    return talk


class Connects:
    """Which addresses this process connects to, while `watched`. An audit hook cannot be taken out, so there is one."""

    event = ""
    seen: ClassVar[list[Any]] = []

    @classmethod
    def note(cls, event: str, args: tuple[Any, ...]) -> None:
        if event == cls.event:
            cls.seen.append(args[1 if event == "socket.connect" else 0])

    @classmethod
    @contextmanager
    def watched(cls, event: str = "socket.connect") -> Iterator[list[Any]]:
        """The addresses, or with `open` the files."""
        cls.seen, cls.event = [], event
        try:
            yield cls.seen
        finally:
            cls.event = ""


sys.addaudithook(Connects.note)
