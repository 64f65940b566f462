"""Rate limits: every effective route has one, and it counts the right caller."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from planner_api.app import create_app
from planner_api.limits import UNMATCHED, address
from planner_common.settings import Settings
from planner_local.servers import Valkey
from redis import Redis
from starlette.requests import Request
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from common.tests.samples import sample

from .conftest import PASSWORD

Running = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
EXEMPT = {"/livez", "/readyz"}


@pytest.fixture
def running(settings: Settings) -> Running:
    """`async with running(rate_limit="2/year") as client`: an application with these settings."""

    @asynccontextmanager
    async def running(address: str = "192.0.2.1", **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(settings.model_copy(update=changes))
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://planner.example/api/v1") as client,
        ):
            client.app = app  # type: ignore[attr-defined]
            yield client

    return running


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """The method and an address of everything that the application really routes to, included routers and all."""
    found = []
    for context in iter_route_contexts(app.routes):
        path = context.path_format
        for name in context.param_convertors:
            path = path.replace(f"{{{name}}}", str(UUID(int=7)))
        found += [(method, path) for method in sorted(context.methods or ())]
    return found


async def test_every_effective_route_is_limited(running: Running) -> None:
    async with running(rate_limit="1/year", rate_limit_login="1/year") as client:
        client.base_url = httpx.URL("http://planner.example")
        every = operations(client.app)  # type: ignore[attr-defined]
        assert ("POST", "/api/v1/events") in every
        assert ("GET", "/openapi.json") in every
        for method, path in every:
            first = await client.request(method, path)
            second = await client.request(method, path)
            if path in EXEMPT:
                assert (first.status_code, second.status_code) == (200, 200)
                continue
            assert first.status_code != 429, f"{method} {path}"
            assert first.headers["x-ratelimit-limit"] == "1", f"{method} {path}"
            assert second.status_code == 429, f"{method} {path}"
            assert second.headers["content-type"] == "application/problem+json"


async def test_what_matches_no_route_is_limited_too(running: Running) -> None:
    counted = sample("planner_http_rate_limited_total", route=UNMATCHED)
    async with running(rate_limit="3/year") as client:
        statuses = [(await client.get(f"/guess/{number}")).status_code for number in range(3)]
        assert statuses == [404, 404, 404]
        assert (await client.get("/another")).status_code == 429
        assert (await client.put("/me")).status_code == 429
    assert sample("planner_http_rate_limited_total", route=UNMATCHED) == counted + 2


async def test_headers_count_down_and_say_when(running: Running, valkey: Valkey) -> None:
    async with running(rate_limit="2/minute") as client:
        answers = [await client.get("/me") for _ in range(3)]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    reset = int(answers[0].headers["x-ratelimit-reset"])
    assert reset % 60 == 0
    refused = answers[2]
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    with Redis.from_url(valkey.url(2)) as limits:
        keys = list(limits.scan_iter())
        assert len(keys) == 1
        assert all(0 < limits.ttl(key) <= 60 for key in keys)


async def test_one_identifier_is_no_way_around(running: Running) -> None:
    """Counted by endpoint, not by address: otherwise each event would have a limit of its own."""
    async with running(rate_limit="2/year") as client:
        statuses = [(await client.get(f"/events/{UUID(int=number)}")).status_code for number in range(3)]
    assert statuses == [401, 401, 429]


async def test_an_account_is_counted_wherever_it_comes_from(running: Running) -> None:
    async with running(rate_limit="2/year") as client:
        body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
        assert (await client.post("/auth/register", json=body)).status_code == 201
        session = await client.post("/auth/token", data={"username": "ann@example.org", "password": PASSWORD})
        login = {"Authorization": f"Bearer {session.json()['access_token']}"}
        made = await client.post("/me/tokens", json={"name": "script", "scopes": ["read"]}, headers=login)
        token = {"Authorization": f"Bearer {made.json()['token']}"}
        assert (await client.get("/me", headers=login)).status_code == 200
    async with running(address="198.51.100.9", rate_limit="2/year") as client:
        assert (await client.get("/me", headers=token)).status_code == 200
        assert (await client.get("/me", headers=login)).status_code == 429
        # Nobody, or who shows a token that is not good, is counted by address, not together with Ann.
        forged = {"Authorization": "Bearer planner_pat_forged"}
        assert [(await client.get("/me", headers=forged)).status_code for _ in range(3)] == [401, 401, 429]


async def test_logging_in_has_a_limit_of_its_own(running: Running) -> None:
    async with running(rate_limit="100/year", rate_limit_login="2/year") as client:
        form = {"username": "ann@example.org", "password": "wrong"}
        statuses = [(await client.post("/auth/token", data=form)).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        refreshed = [await client.post("/auth/refresh", json={"refresh_token": "a"}) for _ in range(3)]
        assert [answer.status_code for answer in refreshed] == [401, 401, 429]


def request_from(host: str) -> Request:
    return Request({"type": "http", "client": (host, 1), "headers": []})


def test_addresses_of_one_subscriber_are_one() -> None:
    assert address(request_from("192.0.2.1")) == "192.0.2.1"
    assert address(request_from("::ffff:192.0.2.1")) == "192.0.2.1"
    assert address(request_from("2001:db8:1:2::3")) == address(request_from("2001:db8:1:2:ffff::1"))
    assert address(request_from("2001:db8:1:2::3")) != address(request_from("2001:db8:1:3::3"))
    assert address(Request({"type": "http", "client": None, "headers": []})) == "local"


async def test_a_forwarded_address_is_believed_from_a_trusted_proxy_only(running: Running) -> None:
    """As `__main__` has uvicorn do it, with `TRUSTED_PROXIES`."""
    async with running(rate_limit="1/year") as client:
        app = ProxyHeadersMiddleware(client.app, trusted_hosts="192.0.2.0/24")  # type: ignore[attr-defined, arg-type]

        async def status(peer: str, forwarded: str) -> int:
            transport = httpx.ASGITransport(app, client=(peer, 1))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://planner.example") as somebody:
                return (await somebody.get("/api/v1/me", headers={"X-Forwarded-For": forwarded})).status_code

        assert await status("192.0.2.8", "203.0.113.1") == 401
        assert await status("192.0.2.8", "203.0.113.2") == 401
        assert await status("192.0.2.8", "203.0.113.1") == 429
        # What the client wrote itself stands to the left of what the proxy saw.
        assert await status("192.0.2.8", "203.0.113.77, 203.0.113.2") == 429
        assert await status("198.51.100.1", "203.0.113.3") == 401
        assert await status("198.51.100.1", "203.0.113.4") == 429
