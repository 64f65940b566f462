"""People with accounts made by SQL, their channels, and what the tables say of them."""

import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from planner_api import limits
from planner_common.sealing import Sealer, Unsubscription
from sqlalchemy import Connection, text

from api.tests.conftest import Person

DEFAULTS = ["invitation", "update", "reschedule", "cancellation", "restoration", "removal", "reminder"]
SECRET_PATH = "services-T0-B0-s3cr3t"
ADDRESSES: dict[str, dict[str, str]] = {
    "email": {"email": "ann.private@elsewhere.example"},
    "webhook": {"url": f"https://hooks.example.com/{SECRET_PATH}?key=s3cr3t-key"},
    "apprise": {"url": "tgram://s3cr3t-bot-token/s3cr3t-chat"},
}

EVENT = text("""
    WITH event AS (
        INSERT INTO events (uid, organizer_id, title, all_day, start_wall, end_wall, starts_at, ends_at)
        VALUES (uuidv7()::text, :organizer, :title, true, '2031-05-01', '2031-05-02', '2031-05-01', '2031-05-02')
        RETURNING id
    )
    INSERT INTO participants (event_id, person_id, email, since_change)
    SELECT event.id, person_id, 'x@example.org', 1 FROM event, unnest(CAST(:people AS uuid[])) AS person_id
    RETURNING event_id
""")


@pytest.fixture
def within_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hour that limits are counted in does not end during the test."""
    now = time.time()
    monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: now))


class Kept:
    """What the tables hold, opened where it is sealed."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self.connection = connection
        self.sealer = sealer

    def rows(self, sql: str, **values: Any) -> list[Any]:
        return list(self.connection.execute(text(sql), values))

    def channel(self, channel: str) -> Any:
        return self.rows("SELECT * FROM channels WHERE id = :id", id=UUID(channel))[0]

    def address(self, channel: str) -> dict[str, Any]:
        return self.sealer.open(self.channel(channel).address)

    def deliveries(self, channel: str) -> list[Any]:
        return self.rows("SELECT * FROM deliveries WHERE channel_id = :id ORDER BY id", id=UUID(channel))

    def routes(self, channel: UUID | str) -> list[Any]:
        """The routes of a channel in their order."""
        return self.rows("SELECT * FROM routes WHERE channel_id = :id ORDER BY since", id=UUID(str(channel)))

    def kinds(self, channel: UUID | str) -> list[str] | None:
        """What goes there now, as far as there is a route."""
        open_routes = [route.kinds for route in self.routes(channel) if route.until is None]
        assert len(open_routes) <= 1
        kinds: list[str] | None = open_routes[0] if open_routes else None
        return kinds

    def waiting(self) -> int:
        """How many transactions wait for a lock."""
        lock = "wait_event_type = 'Lock' AND datname = current_database()"
        return len(self.rows(f"SELECT FROM pg_stat_activity WHERE {lock}"))

    def mutes(self, person: UUID) -> list[Any]:
        return self.rows("SELECT * FROM mutes WHERE person_id = :id ORDER BY since", id=person)

    def event(self, organizer: Person, *people: UUID, title: str = "Dinner") -> UUID:
        values = {"organizer": organizer.account_id, "people": list(people), "title": title}
        event: UUID = self.connection.execute(EVENT, values).scalars().first()  # type: ignore[assignment]
        return event

    def token(self, person: UUID, event: UUID, channel: UUID | None = None) -> str:
        """What ends the link of a mail."""
        return Unsubscription(person, channel or person, event).token(self.sealer)


@pytest.fixture
def kept(connection: Connection, app: FastAPI) -> Kept:
    return Kept(connection, app.state.sealer)


Make = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def make(ann: Person, kept: Kept) -> Make:
    """`channel = await make("webhook")`: a verified channel of Ann's, or not verified yet."""

    async def make(kind: str, who: Person = ann, *, verified: bool = True, **fields: Any) -> dict[str, Any]:
        body = {"type": kind, "name": f"My {kind}"} | ADDRESSES[kind] | fields
        made = await who.post("/me/channels", json=body)
        assert made.status_code == 201, made.text
        channel: dict[str, Any] = made.json()
        if verified:
            code = {"code": kept.address(channel["id"])["code"]}
            answer = await who.post(f"/me/channels/{channel['id']}/verify", json=code)
            assert answer.status_code == 200, answer.text
            channel |= answer.json()
        return channel

    return make
