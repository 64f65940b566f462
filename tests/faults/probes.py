"""Probes: events made for a fault, to see how long it takes until people are told again, in the inbox and by mail."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
from planner_local.client import ApiError, Person

from tests.faults.asking import Asker
from tests.faults.events import dinner
from tests.faults.ledger import Ledger
from tests.faults.writes import Book
from tests.smtp import Sink

LOOK_SECONDS = 0.05
STAGES = ("caught", "after")
"""A probe that is under way when the fault strikes, and one that is made when it is over."""


@dataclass
class Probe:
    number: int
    stage: str
    guest: str
    made: float | None = None
    """When the client was told that it is written."""
    event: str | None = None
    inbox: float | None = None
    mail: float | None = None


@dataclass
class Probes:
    organizer: Person
    watcher: Person
    asker: Asker
    book: Book
    ledger: Ledger
    sink: Sink
    open: dict[str, Probe] = field(default_factory=dict)
    """By guest."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _seen: int = 0

    def make(self, number: int, stage: str) -> None:
        """Make one. Returns at once."""
        task = asyncio.create_task(self._make(Probe(number, stage, f"probe-{number}-{stage}@example.net")))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, probe: Probe) -> None:
        write = self.book.begin("creation", self.organizer.email, told=[self.watcher.email, probe.guest])
        self.open[probe.guest] = probe
        answer = await self.asker.ask(
            self.organizer, "POST", "/events", write, json=dinner(write.title, [self.watcher.email, probe.guest])
        )
        if answer is None or not answer.is_success:
            del self.open[probe.guest]
            return
        probe.made, probe.event = time.time(), answer.body["id"]
        self.book.acknowledged(write, event=probe.event, revision=1)

    async def look(self, done: Callable[[], bool]) -> None:
        """Look at inbox and sink again and again until told that all is done and every probe was seen."""
        while not (done() and not self.open and not self._tasks):
            self.look_at_mails()
            with suppress(httpx.HTTPError, ApiError):
                await self.look_at_inbox()
            for probe in list(self.open.values()):
                if probe.inbox and probe.mail and probe.made:
                    del self.open[probe.guest]
                    self.ledger.write("probe", **vars(probe))
            await asyncio.sleep(LOOK_SECONDS)

    def look_at_mails(self) -> None:
        mails = self.sink.mails()
        for mail in mails[self._seen :]:
            if (probe := self.open.get(mail.recipients[0])) and probe.mail is None:
                probe.mail = mail.at
        self._seen = len(mails)

    async def look_at_inbox(self) -> None:
        missing = {probe.event: probe for probe in self.open.values() if probe.event and probe.inbox is None}
        if not missing:
            return
        page = await self.watcher.call("GET", "/notifications", params={"limit": 100}, timeout=2)
        now = time.time()
        for item in page.json()["items"]:
            if probe := missing.get(item["event"]["id"]):
                probe.inbox = now
