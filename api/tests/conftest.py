"""An application that runs against the suite's PostgreSQL and Valkey, and people who use it."""

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from fastapi import FastAPI
from planner_api import redis
from planner_api.app import create_app
from planner_api.passwords import Passwords
from planner_common.models import accounts
from planner_common.people import person_id
from planner_common.settings import Settings
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr
from sqlalchemy import Connection, insert

PASSWORD = "correct horse battery staple"
QUICK = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
"""Argon2 still, but too cheap for anything but tests."""


app_with = functools.lru_cache(maxsize=2)(create_app)
"""Applications to be used one after the other: what a lifespan makes is new each time."""


@dataclass
class Person:
    """Somebody with an account, logged in: `await ann.get("/events")`."""

    client: httpx.AsyncClient
    name: str
    email: str
    account_id: UUID
    session: dict[str, Any]

    @property
    def person_id(self) -> UUID:
        return person_id(self.email)

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session['access_token']}"}

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = self.authorization | arguments.pop("headers", {})
        return await self.client.request(method, f"/api/v1{path}", headers=headers, **arguments)

    async def get(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("GET", path, **arguments)

    async def post(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("POST", path, **arguments)

    async def put(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("PUT", path, **arguments)

    async def patch(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("PATCH", path, **arguments)

    async def delete(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("DELETE", path, **arguments)


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> Iterator[None]:
    """As the service has it: a traceback without the values of variables, which take seconds to render."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, renderer])
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine busy with tests Redis may well take longer than a request would wait for it in production."""
    monkeypatch.setattr(redis, "OPERATION_SECONDS", 1.0)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = app_with(settings)
    async with app.router.lifespan_context(app):
        app.state.passwords = Passwords(QUICK)
        yield app


@pytest.fixture(scope="session")
def description() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """What OpenAPI says of each path. Of a path with a parameter only when no other fits better."""
    key = SecretStr("a key for the description's sake alone")
    app = create_app(Settings(signing_key=key, encryption_keys=key))
    paths = sorted(app.openapi()["paths"].items(), key=lambda item: ("{" in item[0], -len(item[0])))
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), operations) for path, operations in paths]


@pytest.fixture
def as_described(description: list[tuple[re.Pattern[str], dict[str, Any]]]) -> Callable[..., Awaitable[None]]:
    """A hook that fails a test whose answer the API's own description does not know."""

    async def check(response: httpx.Response) -> None:
        for pattern, operations in description:
            if pattern.fullmatch(response.request.url.path):
                operation = operations.get(response.request.method.lower())
                break
        else:
            operation = None
        if operation is None:
            return
        described = operation["responses"].get(str(response.status_code))
        assert described, f"{operation['operationId']} does not describe {response.status_code}"
        media_type = response.headers.get("content-type", "").partition(";")[0]
        if media_type and response.status_code not in {204, 304}:
            assert media_type in described["content"], f"{operation['operationId']} does not describe {media_type}"

    return check


@pytest.fixture
async def client(app: FastAPI, as_described: Callable[..., Awaitable[None]]) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody: a client that is not logged in. Whatever it is answered must be as OpenAPI describes it."""
    transport = httpx.ASGITransport(app)
    hooks = {"response": [as_described]}
    async with httpx.AsyncClient(transport=transport, base_url="http://planner.example", event_hooks=hooks) as client:
        yield client


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for what has no event to wait for."""
    async with asyncio.timeout(20):
        while not (result if isinstance(result := holds(), bool) else await result):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


Register = Callable[..., Awaitable[Person]]


@pytest.fixture
def register(client: httpx.AsyncClient) -> Register:
    """`ann = await register("Ann")`: a new account, ann@example.org, logged in."""

    async def register(name: str, **fields: Any) -> Person:
        email = fields.pop("email", f"{name.lower().replace(' ', '.')}@example.org")
        body = {"email": email, "password": PASSWORD, "name": name} | fields
        created = await client.post("/api/v1/auth/register", json=body)
        assert created.status_code == 201, created.text
        session = await client.post("/api/v1/auth/token", data={"username": email, "password": PASSWORD})
        assert session.status_code == 200, session.text
        return Person(client, name, created.json()["email"], UUID(created.json()["id"]), session.json())

    return register


Join = Callable[..., Person]


@pytest.fixture
def join(app: FastAPI, client: httpx.AsyncClient, connection: Connection) -> Join:
    """`ann = join("Ann")`: a new account, ann@example.org, logged in, without the password that costs time."""

    def join(name: str, *, locale: str = "en", time_zone: str = "UTC", admin: bool = False) -> Person:
        email = f"{name.lower()}@example.org"
        values = {"email": email, "name": name, "locale": locale, "time_zone": time_zone, "admin": admin}
        person = person_id(email)
        made = insert(accounts).values(person_id=person, password_hash="", **values).returning(accounts.c.id)
        account = connection.execute(made).scalar_one()
        token = app.state.access_tokens.issue(account, person)
        return Person(client, name, email, account, {"access_token": token})

    return join


@pytest.fixture
def ann(join: Join) -> Person:
    return join("Ann")


@pytest.fixture
def bob(join: Join) -> Person:
    return join("Bob")
