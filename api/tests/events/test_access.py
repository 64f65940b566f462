"""I7: to outsiders a foreign event is not there; who takes part sees it, and changes nothing but the own answer."""

from typing import Any

import httpx
import pytest

from .conftest import EVENT, Log, Make

READS = [
    "",
    ".ics",
    "/participants",
    "/history",
    "/occurrences?from=2031-01-01T00:00:00Z&to=2032-01-01T00:00:00Z",
]
# Method, address, body.
WRITES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("PATCH", "", {"title": "Mine now"}),
    ("DELETE", "", None),
    ("POST", "/cancel", None),
    ("POST", "/restore", None),
    ("POST", "/participants", {"participants": [{"email": "mallory@example.org"}]}),
    ("DELETE", "/participants/{participant}", None),
]


async def test_every_route_and_every_kind_of_caller(
    ann: Any, bob: Any, carl: Any, client: httpx.AsyncClient, make: Make, log: Log, subtests: pytest.Subtests
) -> None:
    event = await make("bob@example.org")
    base = f"/events/{event['id']}"
    participant = (await ann.get(f"{base}/participants")).json()["items"][0]["id"]
    routes = [("GET", path, None) for path in READS] + WRITES + [("PUT", "/response", {"response": "accepted"})]
    for method, path, body in routes:
        address = base + path.format(participant=participant)
        for kind, caller in [("outsider", carl), ("participant", bob), ("nobody", client)]:
            expected = {"outsider": 404, "participant": 200 if method in {"GET", "PUT"} else 403, "nobody": 401}[kind]
            with subtests.test(method=method, path=path, caller=kind):
                target = f"/api/v1{address}" if caller is client else address
                # Without If-Match too: that it is missing must not tell an outsider that the event is there.
                answer = await caller.request(method, target, json=body)
                assert answer.status_code == expected, answer.text
    assert log.kinds(event["id"]) == ["creation", "response"]


async def test_what_is_not_there_looks_the_same(ann: Any, carl: Any, make: Make) -> None:
    foreign = await carl.get(f"/events/{(await make())['id']}")
    absent = await carl.get("/events/01234567-89ab-7def-8123-456789abcdef")
    assert foreign.status_code == absent.status_code == 404
    assert foreign.json()["detail"] == absent.json()["detail"]
    assert (await carl.get("/events/none")).status_code == 422


async def test_a_token_that_may_read_may_not_write(ann: Any, client: httpx.AsyncClient, make: Make) -> None:
    event = await make()
    token = (await ann.post("/me/tokens", json={"name": "reader", "scopes": ["read"]})).json()["token"]
    headers = {"Authorization": f"Bearer {token}", "If-Match": "*"}
    path = f"/api/v1/events/{event['id']}"
    assert (await client.get(path, headers=headers)).status_code == 200
    assert (await client.delete(path, headers=headers)).status_code == 403
    assert (await client.post("/api/v1/events", headers=headers, json=EVENT)).status_code == 403
