"""One application for a module's tests; people, events and notifications made by SQL: what registering and fan-out
leave, without hashing passwords and without a worker."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from planner_api.app import create_app
from planner_common.messages import Channel
from planner_common.people import person_id
from planner_common.settings import Settings
from planner_local.servers import Valkey, free_port
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
    INSERT INTO changes (event_id, revision, kind, actor, diff, audience_size)
    SELECT :event, revision, :kind, :actor, CAST(:diff AS jsonb), 1 FROM raised
    RETURNING id
""")
# As fan-out does it, in one transaction. `made_before`: as if its rows had been inserted that long ago.
TELL = text("""
    WITH told AS (
        INSERT INTO notifications (change_id, person_id, id)
        SELECT :change, person_id, uuidv7(-CAST(:made_before AS interval))
          FROM unnest(CAST(:people AS uuid[])) AS person_id
        RETURNING id
    ), done AS (
        UPDATE changes SET fanned_out_at = clock_timestamp() - CAST(:fanned_out_before AS interval) WHERE id = :change
    )
    SELECT id, CASE WHEN :wake THEN pg_notify(:channel, :payload) END FROM told
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

    def change(self, kind: str = "invitation", diff: dict[str, Any] | None = None, *, actor: UUID | None = None) -> int:
        values = {"event": self.event, "kind": kind, "actor": actor, "diff": json.dumps(diff or {})}
        change: int = self.connection.execute(CHANGE, values).scalar_one()
        return change

    def tell(
        self,
        people: Sequence[UUID],
        change: int | None = None,
        *,
        made_before: timedelta = timedelta(0),
        fanned_out_before: timedelta = timedelta(0),
        wake: bool = True,
        **of_change: Any,
    ) -> list[UUID]:
        change = change or self.change(**of_change)
        values = {
            "change": change,
            "people": list(people),
            "made_before": made_before,
            "fanned_out_before": fanned_out_before,
            "wake": wake,
            "channel": Channel.NOTIFICATIONS,
            "payload": json.dumps([change]),
        }
        return [row.id for row in self.connection.execute(TELL, values)]

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


@dataclass
class Server:
    """An application behind a real port, with an event loop of its own: what is streamed needs the one, and a test that
    blocks its loop on PostgreSQL the other."""

    app: FastAPI
    port: int
    loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the server's loop, soon."""
        self.loop.call_soon_threadsafe(function)


@pytest.fixture(scope="module")
def server(worker_database: str, worker_valkey: Valkey) -> Iterator[Server]:
    settings = Settings(
        database_url=worker_database,
        redis_url=worker_valkey.url(),
        signing_key="k" * 32,
        encryption_keys="k" * 32,
        rate_limit="100000/minute",
    )
    app = create_app(settings)
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="on", log_config=None))
    started: Future[asyncio.AbstractEventLoop] = Future()

    async def serve() -> None:
        asyncio.get_running_loop().call_later(0, started.set_result, asyncio.get_running_loop())
        await running.serve()

    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(asyncio.run, serve())
        server = Server(app, port, started.result(30))
        deadline = time.monotonic() + 30
        while not running.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield server
        running.should_exit = True
        serving.result(30)


@pytest.fixture
async def join(server: Server, connection: Connection) -> AsyncIterator[Callable[..., Person]]:
    """`ann = join("Ann")`: a new account, ann@example.org, logged in."""
    clients = []

    def join(name: str, time_zone: str = "UTC", locale: str = "en") -> Person:
        email = f"{name.lower()}@example.org"
        values = {"email": email, "name": name, "time_zone": time_zone, "locale": locale}
        person = person_id(email)
        account: UUID = connection.execute(ACCOUNT, values | {"person_id": person}).scalar_one()
        token = server.app.state.access_tokens.issue(account, person)
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
            trust_env=False,
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
