"""Looking on: what arrives at a person over the live stream and in the inbox, and how the queue drains."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from planner_common.messages import Queue
from prometheus_client.parser import text_string_to_metric_families

from planner_local.client import ApiError, Person

OPEN_SECONDS = 10
REOPEN_SECONDS = 0.2
LOOK_SECONDS = 0.1


@dataclass
class Inbox:
    """`async with Inbox(person) as inbox:` keeps a live stream open and notes what comes and when."""

    person: Person
    arrived: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    """By id: when it came first (`time.perf_counter`), and the notification."""
    twice: int = 0
    _last: str | None = None
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        is_open = asyncio.Event()
        self._task = asyncio.create_task(self._listen(is_open))
        opening = asyncio.create_task(is_open.wait())
        await asyncio.wait({self._task, opening}, timeout=OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        opening.cancel()
        if self._task.done():
            self._task.result()
        if not is_open.is_set():
            self._task.cancel()
            raise httpx.ConnectTimeout(f"no live stream within {OPEN_SECONDS} s")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _listen(self, is_open: asyncio.Event) -> None:
        """Read the stream, opening it again where it broke off: nothing is lost, and nothing may come twice."""
        while True:
            with suppress(httpx.HTTPError):
                async with self.person.stream(self._last) as notifications:
                    is_open.set()
                    async for notification in notifications:
                        self.twice += notification["id"] in self.arrived
                        self.arrived.setdefault(notification["id"], (time.perf_counter(), notification))
                        self._last = notification["id"]
            await asyncio.sleep(REOPEN_SECONDS)

    def count(self, kind: str) -> int:
        return sum(notification["kind"] == kind for _, notification in self.arrived.values())

    async def read(self) -> list[dict[str, Any]]:
        """The inbox, as `GET /notifications` gives it."""
        return [notification async for notification in self.person.items("/notifications")]

    def faults(self, due: int, in_inbox: list[dict[str, Any]]) -> Iterator[str]:
        """What is not as it should be, if anything."""
        ids = {notification["id"] for notification in in_inbox}
        name = self.person.name
        if len(in_inbox) != due or len(ids) != due:
            yield f"{name}: {due} notifications due, {len(in_inbox)} in the inbox, {len(ids)} different ones"
        if ids != self.arrived.keys():
            late, strange = len(ids - self.arrived.keys()), len(self.arrived.keys() - ids)
            yield f"{name}: the live stream brought {late} too few and {strange} that are not in the inbox"
        if self.twice:
            yield f"{name}: the live stream brought {self.twice} twice"


@dataclass
class QueueWatch:
    """`async with QueueWatch(url) as queue:` asks the exporter again and again until `finish()`."""

    exporter: str
    looks: list[tuple[float, float, float]] = field(default_factory=list)
    """When (`time.perf_counter`), changes that wait for their notifications, messages in the broker."""
    failed: int = 0
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.finish()

    def finish(self) -> None:
        if self._task:
            self._task.cancel()

    async def _watch(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            while True:
                with suppress(httpx.HTTPError, ApiError):
                    response = await http.get(self.exporter)
                    if response.is_success:
                        self._note(response.text)
                    else:
                        self.failed += 1
                await asyncio.sleep(LOOK_SECONDS)

    def _note(self, exposition: str) -> None:
        """Of changes alone, not of deliveries."""
        total = {"planner_backlog": 0.0, "planner_queue_depth": 0.0}
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                if family.name in total and Queue.FAN_OUT in sample.labels.values():
                    total[family.name] = sample.value
        self.looks.append((time.perf_counter(), total["planner_backlog"], total["planner_queue_depth"]))
