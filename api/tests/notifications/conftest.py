"""One application for a module's tests; people, events and notifications made by SQL: what registering and fan-out
leave, without hashing passwords and without a worker."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from planner_api.app import create_app
from planner_common.messages import Channel
from planner_common.people import person_id
from planner_common.settings import Settings
from planner_local.servers import Valkey
from sqlalchemy import Connection, text

START = datetime(2026, 3, 29, 7, tzinfo=UTC)

EVENT = text("""
    INSERT INTO events (uid, organizer_id, title, all_day, start_wall, start_zone, end_wall, end_zone,
                        starts_at, ends_at)
    VALUES (uuidv7()::text, :organizer, :title, false, '2026-03-29 09:00', 'Europe/Berlin',
            '2026-03-29 10:00', 'Europe/Berlin', :start, :start + interval '1 hour')
    RETURNING id
""")
CHANGE = text("""
    WITH raised AS (UPDATE events SET revision = revision + 1 WHERE id = :event RETURNING revision)
    INSERT INTO changes (event_id, revision, kind, actor, diff, audience_size, fanned_out_at)
    SELECT :event, revision, :kind, :actor, CAST(:diff AS jsonb), 1, clock_timestamp() - :fanned_out_before FROM raised
    RETURNING id
""")
# `made_before`: as if the row had been inserted that long ago by a transaction that committed only now.
NOTIFICATIONS = text("""
    INSERT INTO notifications (change_id, person_id, id)
    SELECT :change, person_id, uuidv7(-CAST(:made_before AS interval)) FROM unnest(CAST(:people AS uuid[])) AS person_id
    RETURNING id
""")
PARTICIPANT = text("""
    INSERT INTO participants (event_id, person_id, email, since_change, until_change)
    VALUES (:event, :person, 'x@example.org', :since, :until)
""")


@dataclass
class Teller:
    """`ids = teller.tell([ben.person_id])`: commits a change of the event and its notifications, newest last."""

    connection: Connection
    organizer: UUID
    event: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.event = self.make_event()

    def make_event(self, title: str = "Standup") -> UUID:
        values = {"organizer": self.organizer, "title": title, "start": START}
        event: UUID = self.connection.execute(EVENT, values).scalar_one()
        return event

    def change(
        self,
        kind: str = "invitation",
        diff: dict[str, Any] | None = None,
        *,
        actor: UUID | None = None,
        fanned_out_before: timedelta = timedelta(0),
    ) -> int:
        values = {"event": self.event, "kind": kind, "actor": actor, "diff": json.dumps(diff or {})}
        change: int = self.connection.execute(CHANGE, values | {"fanned_out_before": fanned_out_before}).scalar_one()
        return change

    def tell(
        self,
        people: Sequence[UUID],
        change: int | None = None,
        *,
        made_before: timedelta = timedelta(0),
        wake: bool = True,
        **of_change: Any,
    ) -> list[UUID]:
        change = change or self.change(**of_change)
        values = {"change": change, "people": list(people), "made_before": made_before}
        ids = [row.id for row in self.connection.execute(NOTIFICATIONS, values)]
        if wake:
            self.wake([change])
        return ids

    def wake(self, changes: list[int]) -> None:
        notify = text("SELECT pg_notify(:channel, :payload)")
        self.connection.execute(notify, {"channel": Channel.NOTIFICATIONS, "payload": json.dumps(changes)})

    def participant(self, person: UUID, since: int, until: int | None = None) -> None:
        values = {"event": self.event, "person": person, "since": since, "until": until}
        self.connection.execute(PARTICIPANT, values)


@dataclass
class Person:
    """Somebody with an account: `await ann.get("/notifications")`."""

    http: httpx.AsyncClient
    account_id: UUID
    person_id: UUID

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return await self.http.request(method, path, **arguments)

    async def get(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("GET", path, **arguments)

    async def post(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("POST", path, **arguments)


ACCOUNT = text("""
    INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
    VALUES (:person_id, :email, :name, :time_zone, :locale, '') RETURNING id
""")


@pytest.fixture(scope="module")
async def app(worker_database: str, worker_valkey: Valkey) -> AsyncIterator[FastAPI]:
    settings = Settings(
        database_url=worker_database, redis_url=worker_valkey.url(), signing_key="k" * 32, rate_limit="100000/minute"
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def join(app: FastAPI, connection: Connection) -> AsyncIterator[Callable[..., Person]]:
    """`ann = join("Ann")`: a new account, ann@example.org, logged in."""
    clients = []

    def join(name: str, time_zone: str = "UTC", locale: str = "en") -> Person:
        email = f"{name.lower()}@example.org"
        values = {"email": email, "name": name, "time_zone": time_zone, "locale": locale}
        person = person_id(email)
        account: UUID = connection.execute(ACCOUNT, values | {"person_id": person}).scalar_one()
        token = app.state.access_tokens.issue(account, person)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://planner.example/api/v1",
            headers={"Authorization": f"Bearer {token}"},
        )
        clients.append(client)
        return Person(client, account, person)

    yield join
    for client in clients:
        await client.aclose()


@pytest.fixture
def ann(join: Callable[..., Person]) -> Person:
    """The organizer."""
    return join("Ann")


@pytest.fixture
def ben(join: Callable[..., Person]) -> Person:
    return join("Ben", locale="ru", time_zone="Asia/Tokyo")


@pytest.fixture
def teller(connection: Connection, ann: Person) -> Teller:
    return Teller(connection, ann.account_id)
