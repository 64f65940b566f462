"""A batch of deliveries on its way out: looked at, held back or taken, sent many at a time, written down.

No transaction is open while anything is sent. What a worker holds it shows by extending the lease; if it could not for
too long, it begins nothing more, for another may have it by now.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from planner_common import metrics, tracing
from planner_common.deliveries import ChannelType, Lane, Outcome, Reason, State
from planner_common.logging import get_logger, in_short
from planner_common.sealing import Sealer
from planner_common.settings import Settings
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from planner_worker.channels import Channel, Result
from planner_worker.delivery import claims
from planner_worker.delivery.database import Database
from planner_worker.delivery.facts import Facts, look
from planner_worker.delivery.lease import Lease
from planner_worker.delivery.outcomes import Outcomes
from planner_worker.delivery.outgoing import Outgoing, outgoing
from planner_worker.delivery.present import PutOff, Superseded, verdict
from planner_worker.delivery.restraint import Breakers, Pace
from planner_worker.delivery.results import Results, Tried

BEGIN_SECONDS = 0.5
"""For how long a batch begins to send. What is left then is given back, so that others have their turn: a batch to a
slow server must not keep an urgent one waiting."""
STRIDES = 3
"""How many chunks of a batch are under way at once, so that some are sent while others are taken or written down."""
SMALLEST_CHUNK, LARGEST_CHUNK = 4, 64
QUICK_SECONDS, SLOW_SECONDS = 0.1, 0.5
"""A chunk that took less is followed by a larger one, one that took more by a smaller one."""

logger = get_logger("planner_worker")


class Sender:
    """Sends batches, one at a time, in one event loop.

    One per process: it keeps what it learns of destinations, and the connections to them.
    """

    def __init__(
        self, settings: Settings, engine: Callable[[], Engine], channels: Mapping[ChannelType, Channel]
    ) -> None:
        self.settings = settings
        self.channels = channels
        self.database = Database(engine)
        self.sealer = Sealer(settings.encryption_keys)
        self.outcomes = Outcomes(settings)
        self.pace = Pace(settings)
        self.breakers = Breakers(settings.breaker_failures, settings.breaker_seconds)

    async def deliver(self, held: Sequence[tuple[UUID, int]]) -> dict[str, int]:
        """Send what is still held by these claims and still matters. Returns how many of them came to what.

        Raises OperationalError when PostgreSQL is away before anything was begun: the lease redelivers.
        """
        batch = Batch(self)
        try:
            await batch.run(held)
        finally:
            await self.database.release()
        return {name: number for name, number in batch.counts.items() if number}

    def outgoing(self, first: Facts, others: Sequence[Facts] = ()) -> Outgoing:
        return outgoing(first, others, self.channels, self.sealer)

    async def close(self) -> None:
        for channel in self.channels.values():
            await channel.close()
        await self.pace.close()
        self.database.close()


class Batch:
    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.database = sender.database
        self.started = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.waiting: list[Outgoing] = []
        self.hosts: set[str] = set()
        self.chunk = SMALLEST_CHUNK
        self.lease = Lease(sender.database, sender.settings.delivery_lease_seconds)
        self.results = Results(sender.database, self.lease, self.counts)
        self.looked: tuple[datetime, float] | None = None  # PostgreSQL's clock and ours, at the first look

    async def run(self, held: Sequence[tuple[UUID, int]]) -> None:
        at = time.monotonic()
        found = await self.database.query(partial(look, held=held))
        if not found:
            return
        self.looked = found[0].now, at
        ready = await self.settle(facts for facts in found if not facts.digest)
        self.waiting = await self.held_back([self.sender.outgoing(facts) for facts in ready])
        keeper, writer = asyncio.create_task(self.lease.keep()), asyncio.create_task(self.results.write())
        try:
            await asyncio.gather(*(self.stride() for _ in range(STRIDES)))
            for first in (facts for facts in found if facts.digest):
                await self.digest(first)
        except OperationalError as error:
            self.interrupted(error)
        finally:
            self.results.end()
            await writer
            keeper.cancel()
            for host in self.hosts:
                self.sender.breakers.forget_trial(host)
        if self.waiting:
            await self.give_back([out.facts for out in self.waiting])

    def now(self, later: float = 0.0) -> datetime:
        """PostgreSQL's clock, or what it will show in so many seconds."""
        assert self.looked is not None  # noqa: S101  # nothing asks before the first look
        moment, at = self.looked
        return moment + timedelta(seconds=time.monotonic() - at + later)

    @property
    def over(self) -> bool:
        return time.monotonic() - self.started > BEGIN_SECONDS

    def interrupted(self, error: OperationalError) -> None:
        """PostgreSQL is away. What was sent is written down when it is back; of the rest the lease runs out."""
        logger.warning("dependency away", dependency="postgresql", error=in_short(error))
        self.waiting = []

    async def settle(self, found: Iterable[Facts]) -> list[Facts]:
        """Write down what is not to be sent, or not yet; return the others."""
        ready: list[Facts] = []
        superseded: list[tuple[Facts, Superseded]] = []
        early: list[tuple[Facts, PutOff]] = []
        email_on = ChannelType.EMAIL in self.sender.channels
        for facts in found:
            match verdict(facts, email_on=email_on):
                case Superseded() as stale:
                    superseded.append((facts, stale))
                    metrics.deliveries.labels(facts.type, State.SUPERSEDED).inc()
                case PutOff() as waits:
                    early.append((facts, waits))
                case None:
                    ready.append(facts)
        if superseded:
            await self.database.query(partial(claims.supersede, verdicts=superseded))
            self.counts[State.SUPERSEDED] += len(superseded)
        await self.put_off(early)
        return ready

    async def held_back(self, outgoing: Sequence[Outgoing]) -> list[Outgoing]:
        """Those that breaker and pace let through; the others are put off."""
        by_host: dict[str, list[Outgoing]] = {}
        for out in sorted(outgoing, key=lambda out: out.facts.lane):
            by_host.setdefault(out.host, []).append(out)
        self.hosts |= by_host.keys()
        put_off: list[tuple[Facts, PutOff]] = []
        too_old: list[Facts] = []
        for host, outs in by_host.items():
            allowance = self.sender.breakers.ask(host, len(outs))
            for out in outs[allowance.number :]:
                if self.sender.outcomes.too_old(out.facts, out.channel.limits):
                    too_old.append(out.facts)
                else:
                    put_off.append((out.facts, PutOff(self.now(allowance.wait), Reason.BREAKER)))
            by_host[host] = outs[: allowance.number]
        rates = {host: outs[0].channel.limits.per_second for host, outs in by_host.items() if outs}
        paced = {host: (len(by_host[host]), rate) for host, rate in rates.items() if rate > 0}
        for host, allowance in (await self.sender.pace.take(paced)).items():
            outs = by_host[host]
            # What is urgent goes all the same.
            through = max(allowance.number, sum(out.facts.lane == Lane.URGENT for out in outs))
            for place, out in enumerate(outs[through:]):
                put_off.append((out.facts, PutOff(self.now(allowance.wait + place / rates[host]), Reason.PACE)))
            by_host[host] = outs[:through]
        await self.put_off(put_off)
        if too_old:
            await self.database.query(partial(claims.give_up, deliveries=too_old))
            self.counts[State.DEAD] += len(too_old)
            for facts in too_old:
                metrics.deliveries.labels(facts.type, State.DEAD).inc()
        return [out for outs in by_host.values() for out in outs]

    async def put_off(self, verdicts: Sequence[tuple[Facts, PutOff]]) -> None:
        if verdicts:
            await self.database.query(partial(claims.put_off, verdicts=verdicts))
            self.counts["put_off"] += len(verdicts)
            for facts, waits in verdicts:
                metrics.deliveries_put_off.labels(facts.type, waits.reason).inc()

    async def give_back(self, deliveries: Sequence[Facts]) -> None:
        """Have the dispatcher hand them out again at once, to be looked at anew."""
        given = await self.database.insist(partial(claims.give_back, deliveries=deliveries))
        self.counts["given_back"] += given or 0

    async def stride(self) -> None:
        """Take and send chunk after chunk, as large as goes quickly. Raises nothing: others are amid sending."""
        while self.waiting and not self.over:
            chunk, self.waiting = self.waiting[: self.chunk], self.waiting[self.chunk :]
            started = time.monotonic()
            try:
                await self.take_and_send(chunk)
            except OperationalError as error:
                self.interrupted(error)
            seconds = time.monotonic() - started
            if seconds < QUICK_SECONDS:
                self.chunk = min(self.chunk * 2, LARGEST_CHUNK)
            elif seconds > SLOW_SECONDS:
                self.chunk = max(self.chunk // 2, SMALLEST_CHUNK)

    async def take_and_send(self, chunk: Sequence[Outgoing]) -> None:
        mine = await self.lease.take([out.facts for out in chunk])
        if changed := [out.facts for out in chunk if out.facts.id not in mine]:
            await self.give_back(changed)
        await asyncio.gather(*(self.send(out) for out in chunk if out.facts.id in mine))

    async def digest(self, first: Facts) -> None:
        """Send all that waits for the digest of a channel, under the id of the first."""
        if self.over:
            await self.give_back([first])
            return
        if not await self.settle([first]) or not await self.held_back([self.sender.outgoing(first)]):
            return
        lease = self.sender.settings.delivery_lease_seconds
        held = await self.database.query(partial(claims.gather, first=first, lease=lease))
        if held is None:
            await self.give_back([first])
            return
        others = await self.settle(await self.database.query(partial(look, held=held))) if held else []
        together = [replace(facts, message_id=first.id) for facts in (first, *others)]
        mine = await self.lease.take(together)
        taken = [facts for facts in together if facts.id in mine]
        if changed := [facts for facts in together if facts.id not in mine]:
            await self.give_back(changed)
        if first.id in mine:
            await self.send(self.sender.outgoing(taken[0], taken[1:]), taken[1:])
        elif taken:
            await self.not_made(taken)

    async def send(self, out: Outgoing, others: Sequence[Facts] = ()) -> None:
        """Send one message, unless our lease may be over before it is sent."""
        everyone = (out.facts, *others)
        if not self.lease.holds(out.facts.id):
            await self.not_made(everyone)
            return
        started = time.monotonic()
        try:
            result = await out.channel.send(out.message)
        except Exception:  # a channel that fails by its own fault must not lose the whole batch
            logger.exception("channel failed", channel=out.facts.type, delivery_id=str(out.facts.id))
            result = Result(outcome=Outcome.UNKNOWN, detail="an internal error; the log has it under the delivery's id")
        seconds, now = time.monotonic() - started, self.now()
        self.sender.breakers.note(out.host, failed=result.host_failed)
        metrics.delivery_attempts.labels(out.facts.type, result.outcome).inc()
        metrics.delivery_seconds.labels(out.facts.type).observe(seconds)
        if tracing.on:
            sent = [(facts.id, facts.change_id) for facts in everyone]
            tracing.attempt(sent, out.facts.type, result.outcome, result.status, seconds)
        recorded = self.sender.outcomes.of(out.facts, result, out.channel.limits, now, seconds)
        # What goes out together has one fate.
        self.results.add(*(Tried(facts, result, recorded.of(facts), now) for facts in everyone))

    async def not_made(self, deliveries: Sequence[Facts]) -> None:
        """Take back tries that were noted and not begun."""
        for facts in deliveries:
            self.lease.end(facts.id)
        await self.database.insist(partial(claims.not_made, deliveries=deliveries))
        self.counts["given_back"] += len(deliveries)
