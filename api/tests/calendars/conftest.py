"""Subscribing to somebody's calendar, as a program does."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from api.tests.events.conftest import EVENT

Subscribe = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def subscribe(client: httpx.AsyncClient) -> Subscribe:
    """`feed = await subscribe(ann)`: what Ann's calendar answers at an address that is made for that."""

    async def subscribe(person: Any, name: str = "Planner", **arguments: Any) -> httpx.Response:
        return await client.get(await address_of(person, name), **arguments)

    return subscribe


async def address_of(person: Any, name: str = "Planner") -> str:
    made = await person.post("/me/calendars", json={"name": name})
    assert made.status_code == 201, made.text
    return urlsplit(made.json()["url"]).path


async def event_of(person: Any, *people: str, **fields: Any) -> dict[str, Any]:
    """An event of somebody's, with these people in it."""
    body = EVENT | {"participants": [{"email": email} for email in people]} | fields
    made = await person.post("/events", json=body)
    assert made.status_code == 201, made.text
    event: dict[str, Any] = made.json()
    return event


@pytest.fixture
def carl(join: Callable[..., Any]) -> Any:
    return join("Carl")
