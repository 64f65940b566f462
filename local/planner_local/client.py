"""Planner's HTTP API as one person sees it: for the demo, the acceptance tests and scripts of your own.

async with connect("http://127.0.0.1:8000") as http:
    ann = await Person(http, "ann@example.org").register()
    event = (await ann.call("POST", "/events", json={…})).json()
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import aconnect_sse

BASE = "/api/v1"
STREAM_SILENCE = 40.0
"""Seconds without even a comment (the server sends one every 15 s) after which a stream counts as dead."""
TOO_MANY = 429


class ApiError(Exception):
    """An answer of 4xx or 5xx; its text says what the server said. `problem` is the RFC 9457 object, if it was one."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        is_problem = response.headers.get("content-type", "").startswith("application/problem+json")
        self.problem: dict[str, Any] = response.json() if is_problem else {}
        said = self.problem.get("detail") or self.problem.get("title") or response.text[:500]
        super().__init__(f"{response.request.method} {response.request.url.path}: {self.status}: {said}")


def connect(base_url: str, *, seconds: float = 60) -> httpx.AsyncClient:
    """A client for any number of persons. Proxies of the environment are ignored: Planner is asked directly."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(base_url=base_url, timeout=seconds, limits=limits, trust_env=False)


@dataclass
class Person:
    """An account and what it may ask. Logs in again by itself when the access token has run out."""

    http: httpx.AsyncClient
    email: str
    name: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    account: dict[str, Any] = field(default_factory=dict)
    _token: str = field(default="", repr=False)

    async def register(self, **account: Any) -> "Person":
        """Make the account and log in. `account` are more fields of `POST /auth/register`, such as `time_zone`."""
        self.name = self.name or self.email.partition("@")[0].capitalize()
        body = {"email": self.email, "password": self.password, "name": self.name, **account}
        self.account = (await self._send("POST", "/auth/register", json=body)).json()
        await self.login()
        return self

    async def login(self) -> None:
        form = {"username": self.email, "password": self.password}
        self._token = (await self._send("POST", "/auth/token", data=form)).json()["access_token"]

    async def call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send a request as this person. Raises ApiError unless the answer is 2xx; arguments are httpx's."""
        try:
            return await self._send(method, path, login=True, **arguments)
        except ApiError as error:
            if error.status != httpx.codes.UNAUTHORIZED:
                raise
        await self.login()
        return await self._send(method, path, login=True, **arguments)

    async def items(self, path: str, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """The items of a list, page by page."""
        cursor = None
        while True:
            page = {"limit": 200, **params, **({"cursor": cursor} if cursor else {})}
            body = (await self.call("GET", path, params=page)).json()
            for item in body["items"]:
                yield item
            cursor = body["next_cursor"]
            if cursor is None:
                return

    @asynccontextmanager
    async def stream(self, last_event_id: str | None = None) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """A live stream, open when the block is entered; iterate over it to get notifications.

        Ends, or raises httpx.HTTPError, when the connection does: open it again with the last notification's id.
        """
        timeout = httpx.Timeout(STREAM_SILENCE)
        headers = self._headers() | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        url = BASE + "/notifications/stream"
        async with aconnect_sse(self.http, "GET", url, headers=headers, timeout=timeout) as source:
            if not source.response.is_success:
                await source.response.aread()
                raise ApiError(source.response)
            yield (event.json() async for event in source.aiter_sse() if event.event == "notification")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    async def _send(self, method: str, path: str, *, login: bool = False, **arguments: Any) -> httpx.Response:
        headers = {**arguments.pop("headers", {}), **(self._headers() if login else {})}
        while True:
            response = await self.http.request(method, BASE + path, headers=headers, **arguments)
            if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
                return response
            if response.status_code != TOO_MANY:
                raise ApiError(response)
            await asyncio.sleep(float(response.headers.get("Retry-After", 1)))
