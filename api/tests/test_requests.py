"""What surrounds every request: ids, problems for whatever comes in, bounds on the body."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from planner_api.middleware import NAMED, made
from planner_api.routing import MAX_BODY
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from .conftest import Register

JSON = {"Content-Type": "application/json"}


def assert_problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


async def test_a_sane_request_id_is_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez", headers={"X-Request-ID": "order-66/a.b:c"})
    assert answer.headers.get_list("x-request-id") == ["order-66/a.b:c"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "\x1b[31m"])
async def test_any_other_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/livez", headers={"X-Request-ID": given})
    assert UUID(answer.headers["x-request-id"])


async def test_unknown_addresses_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/api/v1/nothing"), 404, "not-found")
    assert_problem(await client.get("/api/v1/me/"), 404, "not-found")
    refused = await client.put("/api/v1/me")
    assert_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET, PATCH"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"\xff",
        b"nonsense",
        b'{"refresh_token": NaN}',
        b'{"refresh_token": "\\ud800"}',
        b'{"refresh_token": "\x00"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"r":' * 100_000,
    ],
)
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/v1/auth/logout", content=body, headers=JSON)
    assert_problem(answer, *((400, "unparsable") if body else (422, "invalid")))


@pytest.mark.parametrize("body", ["null", "[]", "7", '"text"', "{}", '{"refresh_token": 7}', '{"refresh_token": null}'])
async def test_json_of_another_shape_is_refused(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post("/api/v1/auth/logout", content=body, headers=JSON)
    assert assert_problem(answer, 422, "invalid")["errors"]


async def test_faults_are_pointed_at(client: httpx.AsyncClient) -> None:
    body = {"email": "no address", "password": "short", "name": " ", "time_zone": "Mars/Olympus", "a/b~": 1}
    answer = await client.post("/api/v1/auth/register", json=body)
    problem = assert_problem(answer, 422, "invalid")
    pointers = [fault["pointer"] for fault in problem["errors"]]
    assert pointers == ["/email", "/password", "/name", "/time_zone", "/a~1b~0"]
    assert "and 2 more" in problem["detail"]
    assert "Value error" not in answer.text


async def test_nul_is_pointed_at(client: httpx.AsyncClient) -> None:
    body = {"email": "ann@example.org", "password": "long enough", "name": "A\0nn"}
    problem = assert_problem(await client.post("/api/v1/auth/register", json=body), 422, "invalid")
    assert problem["errors"][0]["pointer"] == "/name"
    nested = {"a": [{"b": "c"}, {"d\0": 1}]}
    problem = assert_problem(await client.post("/api/v1/auth/register", json=nested), 422, "invalid")
    assert problem["errors"][0]["pointer"] == "/a/1"
    assert_problem(await client.get("/api/v1/me/tokens?cursor=a%00b"), 422, "invalid")
    # The six characters \\u0000 are a text like any other.
    spelled = {"refresh_token": "\\u0000"}
    assert (await client.post("/api/v1/auth/logout", json=spelled)).status_code == 204


async def test_many_and_long_faults_make_no_long_answer(client: httpx.AsyncClient) -> None:
    body = {"x" * 1000 + str(number): number for number in range(500)}
    answer = await client.post("/api/v1/auth/register", json=body)
    assert_problem(answer, 422, "invalid")
    assert len(answer.content) < 30_000
    surrogate = await client.post("/api/v1/auth/logout", content=json.dumps({"\ud83d\ude00": 1}), headers=JSON)
    assert_problem(surrogate, 422, "invalid")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_of_another_type_is_refused(client: httpx.AsyncClient, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await client.post("/api/v1/auth/logout", content=b'{"refresh_token": "a"}', headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")
    assert_problem(await client.post("/api/v1/auth/token", json={"username": "a"}), 415, "unsupported-media-type")


async def test_json_may_have_parameters_and_suffixes(client: httpx.AsyncClient) -> None:
    for media_type in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
        answer = await client.post(
            "/api/v1/auth/logout", content=b'{"refresh_token": "a"}', headers={"Content-Type": media_type}
        )
        assert answer.status_code == 204, answer.text


async def test_a_large_body_is_refused_by_its_length_and_while_it_is_read(client: httpx.AsyncClient) -> None:
    large = b'{"refresh_token": "' + b"a" * MAX_BODY + b'"}'
    assert_problem(await client.post("/api/v1/auth/logout", content=large, headers=JSON), 413, "too-large")
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 100_000
            yield b" " * 100_000

    for path, media_type in (
        ("/auth/logout", "application/json"),
        ("/auth/token", "application/x-www-form-urlencoded"),
    ):
        sent = 0
        headers = {"Content-Type": media_type, "Transfer-Encoding": "chunked"}
        answer = await client.post(f"/api/v1{path}", content=chunks(), headers=headers)
        assert_problem(answer, 413, "too-large")
        assert sent <= MAX_BODY + 100_000


async def test_what_is_unforeseen_is_a_500_without_internals(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.access_tokens = None  # so that the next request runs into an AttributeError
    with capture_logs() as logs:
        answer = await client.get("/api/v1/me", headers={"Authorization": "Bearer a"})
    problem = assert_problem(answer, 500, "internal")
    assert "verify" not in json.dumps(problem)
    assert any(entry["event"] == "request_failed" and entry["exc_info"] for entry in logs)


async def test_a_request_is_one_line_and_one_count(client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("Ann")
    labels = {"method": "DELETE", "route": "/api/v1/me/tokens/{token_id}", "status": "404"}
    before = REGISTRY.get_sample_value("planner_http_requests_total", labels) or 0
    with capture_logs() as logs:
        await ann.delete(f"/me/tokens/{UUID(int=7)}")
        await client.get("/api/v1/nothing?token=secret")
    lines = [entry for entry in logs if entry["event"] == "request"]
    assert [(line["route"], line["status"]) for line in lines] == [(labels["route"], 404), ("unmatched", 404)]
    assert "secret" not in str(logs)
    assert "example.org" not in str(logs)
    assert REGISTRY.get_sample_value("planner_http_requests_total", labels) == before + 1


async def test_a_request_that_changed_something_names_its_changes(register: Register) -> None:
    ann = await register("Ann")
    body = {"title": "Lunch", "start": {"date": "2031-05-01"}, "end": {"date": "2031-05-02"}}
    with capture_logs() as logs:
        event = (await ann.post("/events", json=body)).json()["id"]
        await ann.post("/events?dry_run=true", json=body)
        await ann.post(f"/events/{event}/participants", json={"participants": [{"email": "bob@example.org"}]})
        await ann.patch(f"/events/{event}", json={"title": "Dinner"}, headers={"If-Match": '"1"'})
        await ann.get(f"/events/{event}")
        await ann.delete(f"/events/{event}", headers={"If-Match": "*"})
    lines = [entry for entry in logs if entry["event"] == "request"]
    assert [line["status"] for line in lines] == [201, 200, 201, 412, 200, 204]
    numbers = [line.get("change_ids") for line in lines]
    assert [number and len(number) for number in numbers] == [1, None, 1, None, None, 2]
    assert {line["event_id"] for line in lines if "event_id" in line} == {event}
    assert len({number for made in numbers if made for number in made}) == 4
    assert "Lunch" not in str(logs)


def test_of_very_many_changes_a_line_names_a_few() -> None:
    assert made(None) == {}
    many = made([(number, UUID(int=number)) for number in range(5_000)])
    assert (len(many["change_ids"]), many["changes"], many["events"]) == (NAMED, 5_000, 5_000)
