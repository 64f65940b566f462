"""An application that runs against the suite's PostgreSQL and Valkey, and people who use it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from planner_api.app import create_app
from planner_common.people import person_id
from planner_common.settings import Settings

PASSWORD = "correct horse battery staple"


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


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody: a client that is not logged in."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://planner.example") as client:
        yield client


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
