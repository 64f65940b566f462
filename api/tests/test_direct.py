"""What is answered directly is answered as by its route."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from planner_api.direct import direct_routes

from .conftest import Register

ROUTED = {"params": {"plain": "no"}}
"""A query that no route knows: it is ignored, and the request is not plain any more."""
DIRECT = ["/events/{event_id}", "/notifications", "/notifications/count"]


def told(answer: httpx.Response) -> Any:
    headers = {name: value for name, value in answer.headers.items() if "ratelimit" not in name}
    return answer.status_code, headers, answer.content


def left(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining"])


def test_these_are(app: FastAPI) -> None:
    assert {f"/api/v1{path}" for path in DIRECT} == {route.path for route in direct_routes(app)}


@pytest.mark.parametrize("path", DIRECT)
async def test_as_by_the_route(register: Register, path: str) -> None:
    ann, ben = await register("Ann"), await register("Ben")
    day = {"start": {"date": "2031-05-01"}, "end": {"date": "2031-05-02"}}
    event = (await ann.post("/events", json={"title": "Dinner", **day})).json()
    path = path.format(event_id=event["id"])
    traced = {"X-Request-ID": "the-same"}
    attempts: list[tuple[Any, dict[str, str]]] = [
        (ann, traced),
        (ann, traced | {"If-None-Match": '"1"'}),
        (ben, traced),
        (ann, traced | {"Authorization": ""}),
        (ann, traced | {"Authorization": "Bearer nonsense"}),
    ]
    for person, headers in attempts:
        direct, routed = await person.get(path, headers=headers), await person.get(path, headers=headers, **ROUTED)
        assert told(direct) == told(routed)
        assert left(direct) == left(routed) + 1, "both count against one limit"


async def test_a_token_that_may_not_read_is_refused(register: Register) -> None:
    ann = await register("Ann")
    token = (await ann.post("/me/tokens", json={"name": "writer", "scopes": ["write"]})).json()["token"]
    for path in DIRECT[1:]:
        assert (await ann.get(path, headers={"Authorization": f"Bearer {token}"})).status_code == 403
