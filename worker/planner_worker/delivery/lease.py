"""What a batch holds while it sends, and for how long nobody else may have it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from sqlalchemy.exc import OperationalError

from planner_worker.delivery import claims
from planner_worker.delivery.database import Database
from planner_worker.delivery.facts import Facts


class Lease:
    """Deliveries that are being sent. By the monotonic clock, which goes on while a process is frozen."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._held: dict[UUID, int] = {}  # with the claims
        self._until = 0.0

    def holds(self, delivery: UUID) -> bool:
        """Whether it is ours for long enough to begin to send it."""
        return delivery in self._held and time.monotonic() < self._until - self._seconds / 3

    async def take(self, deliveries: Sequence[Facts]) -> set[UUID]:
        """Begin to send: note the tries. Returns those that are really ours to send."""
        asked = time.monotonic()
        mine = await self._database.query(partial(claims.take, deliveries=deliveries, lease=self._seconds))
        until = asked + self._seconds
        self._until = min(self._until, until) if self._held else until
        self._held |= {facts.id: facts.claims for facts in deliveries if facts.id in mine}
        return mine

    def end(self, delivery: UUID) -> None:
        self._held.pop(delivery, None)

    async def keep(self) -> None:
        """Extend it again and again. If that fails it just becomes short, and nothing more is begun."""
        while True:
            await asyncio.sleep(self._seconds / 4)
            if not (held := list(self._held.items())):
                continue
            asked = time.monotonic()
            with suppress(OperationalError):
                ours = await self._database.query(partial(claims.extend, held=held, lease=self._seconds))
                self._until = asked + self._seconds
                for delivery, _ in held:
                    if delivery not in ours:
                        self.end(delivery)
