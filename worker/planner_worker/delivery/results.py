"""What came of tries is written down as it comes: all that there is, while the next are on their way."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from planner_common import metrics
from planner_common.deliveries import Outcome, State
from planner_common.logging import get_logger
from sqlalchemy import Connection

from planner_worker.channels import Result
from planner_worker.delivery import claims
from planner_worker.delivery.claims import Recorded
from planner_worker.delivery.database import Database, transaction
from planner_worker.delivery.facts import Facts
from planner_worker.delivery.lease import Lease

GATHER_SECONDS = 0.02
"""How long results are waited for to be written down together: each transaction costs, and each result that is not
written yet is in doubt should the worker die."""

logger = get_logger("planner_worker")


@dataclass(frozen=True, slots=True)
class Tried:
    facts: Facts
    result: Result
    recorded: Recorded
    at: datetime
    """By PostgreSQL's clock."""


class Results:
    def __init__(self, database: Database, lease: Lease, counts: Counter[str]) -> None:
        self._database = database
        self._lease = lease
        self._counts = counts
        self._waiting: list[Tried] = []
        self._there = asyncio.Event()
        self._all = False

    def add(self, *tried: Tried) -> None:
        self._waiting += tried
        self._there.set()

    def end(self) -> None:
        """There will be no more: `write` returns when it has written all."""
        self._all = True
        self._there.set()

    async def write(self) -> None:
        while self._waiting or not self._all:
            await self._there.wait()
            if not self._all:
                await asyncio.sleep(GATHER_SECONDS)
            self._there.clear()
            results, self._waiting = self._waiting, []
            if results:
                await self._record(results)

    async def _record(self, results: list[Tried]) -> None:
        gone = [(tried.facts.channel_id, tried.result.detail or "gone") for tried in results if tried.result.gone]

        def note(connection: Connection) -> set[UUID]:
            recorded = [tried.recorded for tried in results]
            if not gone:
                return claims.record(connection, recorded)
            with transaction(connection):
                claims.disable(connection, gone)
                return claims.record(connection, recorded)

        changed = await self._database.insist(note)
        if changed is None:
            logger.error("results lost", deliveries=[str(tried.facts.id) for tried in results])
            changed = set()
        for tried in results:
            self._lease.end(tried.facts.id)
            if tried.facts.id in changed:
                self._tell(tried)
            else:
                self._counts["lost"] += 1  # another has it since; what is known of the try is kept

    def _tell(self, tried: Tried) -> None:
        facts, state = tried.facts, tried.recorded.state
        self._counts[state] += 1
        metrics.deliveries.labels(facts.type, state).inc()
        if state is State.SENT:
            metrics.delivery_lateness.labels(facts.type).observe((tried.at - facts.since).total_seconds())
        if tried.result.outcome is not Outcome.ACCEPTED:
            logger.info(
                "not delivered",
                channel=facts.type,
                delivery_id=str(facts.id),
                change_id=facts.change_id,
                outcome=tried.result.outcome,
                status=tried.result.status,
                state=state,
                tries=facts.tries + 1,
            )
