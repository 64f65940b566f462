"""Deliveries as fan-out makes them, claimed as the dispatcher claims them, and sent on channels that only remember."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from planner_common.changes import Kind
from planner_common.database import make_engine
from planner_common.deliveries import ChannelType, Outcome
from planner_common.people import person_id
from planner_common.sealing import Sealer
from planner_common.settings import Settings, get_settings
from planner_worker.channels import Limits, Message, Result
from planner_worker.delivery.sending import Sender
from planner_worker.due.deliveries import Deliveries
from planner_worker.tasks.fan_out import fan_out
from sqlalchemy import Engine, RowMapping, text

from common.tests.domain import Domain, Event

ACCEPTED = Result(outcome=Outcome.ACCEPTED, status=250)
LATER = Result(outcome=Outcome.LATER, status=451, detail="come again")
REFUSED = Result(outcome=Outcome.REFUSED, status=550, detail="no such mailbox")
UNKNOWN = Result(outcome=Outcome.UNKNOWN, detail="the connection was lost before the answer")


@dataclass
class Remembering:
    """A channel that keeps what it is given, and answers as it is told."""

    type: ChannelType
    limits: Limits = field(default_factory=lambda: Limits(tries=12, hours=48))
    sent: list[Message] = field(default_factory=list)
    answer: Callable[[Message], Result] = lambda _message: ACCEPTED
    before: Callable[[Message], Any] | None = None
    """Awaited before each answer."""

    def host(self, message: Message) -> str:
        return str(message.address.get("url", "mail.example.org"))

    async def send(self, message: Message) -> Result:
        self.sent.append(message)
        if self.before is not None:
            await self.before(message)
        return self.answer(message)

    async def close(self) -> None:
        """Nothing is open."""


class Desk:
    """Where a test makes deliveries, hands them out and sends them."""

    def __init__(self, domain: Domain, settings: Settings, url: str) -> None:
        self.domain = domain
        self.connection = domain.connection
        self.settings = settings
        self.sealer = Sealer(settings.encryption_keys)
        self.channels: dict[ChannelType, Any] = {kind: Remembering(kind) for kind in ChannelType}
        self.engines: list[Engine] = []
        self.sender = self.make_sender()
        self.database = psycopg.connect(url, autocommit=True)

    def make_sender(self, **changed: Any) -> Sender:
        settings = self.settings.model_copy(update=changed)
        for kind, channel in self.channels.items():
            paced = getattr(settings, f"{kind}_per_second")
            channel.limits = Limits(settings.email_tries, settings.email_hours, paced)
        # Each as in a process of its own, with its own connection, which a batch keeps.
        own = make_engine(settings, "planner-worker").execution_options(isolation_level="AUTOCOMMIT")
        self.engines.append(own)
        return Sender(settings, lambda: own, self.channels)

    @property
    def mail(self) -> Remembering:
        found: Remembering = self.channels[ChannelType.EMAIL]
        return found

    @property
    def hook(self) -> Remembering:
        found: Remembering = self.channels[ChannelType.WEBHOOK]
        return found

    def event(self, organizer: str, *invited: str) -> Event:
        """An event that those invited have been told of in their inboxes."""
        event = self.domain.event(organizer, *invited)
        self.fan_out(event.creation)
        return event

    def change(self, event: Event, kind: Kind, **given: Any) -> int:
        change = self.domain.change(event, kind, **given)
        self.fan_out(change)
        return change

    def fan_out(self, change: int) -> None:
        fan_out([change])

    def set(self, statement: str, **values: Any) -> None:
        self.connection.execute(text(statement), values)

    def claim(self) -> list[tuple[UUID, int]]:
        """What a dispatcher would hand out now, in its order."""
        source = Deliveries(self.settings)
        handouts, _ = source.claim(self.database, source.queues)
        return [pair for handout in handouts for pair in handout.held]

    async def deliver(self, held: Sequence[tuple[UUID, int]] | None = None) -> dict[str, int]:
        return await self.sender.deliver(self.claim() if held is None else held)

    def make_due(self) -> None:
        """Let the time pass that deliveries wait for."""
        self.set("UPDATE deliveries SET due_at = now() - interval '1 second' WHERE finished_at IS NULL")

    def expire(self) -> None:
        """Let leases run out."""
        self.set("UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL")

    def rows(self) -> list[RowMapping]:
        """All deliveries, the oldest first."""
        return list(self.connection.execute(text("SELECT * FROM deliveries ORDER BY change_id, id")).mappings())

    def row(self) -> RowMapping:
        """The only delivery."""
        (row,) = self.rows()
        return row

    def states(self) -> list[tuple[str, str | None]]:
        return [(row["state"], row["reason"]) for row in self.rows()]

    def attempts(self) -> list[tuple[str | None, int | None]]:
        rows = self.connection.execute(
            text("SELECT outcome, status FROM delivery_attempts ORDER BY delivery_id, number")
        )
        return [(row.outcome, row.status) for row in rows]

    def webhook(self, owner: str, address: Mapping[str, Any], kinds: Sequence[str], digest: str = "none") -> UUID:
        """A verified webhook of a person's, to which these kinds go from now on."""
        channel = self.connection.scalar(
            text("""
                WITH channel AS (
                    INSERT INTO channels (person_id, type, name, address, digest, verified_at)
                    VALUES (:person, 'webhook', 'mine', :address, :digest, now()) RETURNING id, person_id
                ), route AS (
                    INSERT INTO routes (person_id, channel_id, type, kinds)
                    SELECT person_id, id, 'webhook', :kinds FROM channel
                )
                SELECT id FROM channel
            """),
            {
                "person": person_id(owner),
                "address": self.sealer.seal(address),
                "kinds": list(kinds),
                "digest": digest,
            },
        )
        assert isinstance(channel, UUID)
        return channel


@pytest.fixture
def email_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """E-mail is set up."""
    monkeypatch.setenv("SMTP_URL", "smtp://127.0.0.1:1")
    get_settings.cache_clear()
    yield settings.model_copy(update={"smtp_url": get_settings().smtp_url})
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
async def desk(domain: Domain, email_on: Settings, database: str) -> AsyncIterator[Desk]:
    desk = Desk(domain, email_on, database)
    yield desk
    await desk.sender.close()
    desk.database.close()
    for one in desk.engines:
        one.dispose()
