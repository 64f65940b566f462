"""A request with an Idempotency-Key is run once, however often it is sent, and whatever happens meanwhile."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from planner_api import idempotency
from planner_api.dependencies import question, transaction
from planner_api.routing import Route, asked_for
from planner_common.messages import Channel
from planner_common.sealing import Sealer
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, event, text

from api.tests.locking import locked, someone_waits

from .conftest import Person, Register
from .events.test_calendars import calendar, component
from .test_requests import assert_problem
from .test_transactions import TOKEN, at_commit

EVENT = {
    "title": "Retrospective",
    "start": {"date_time": "2031-03-28T09:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2031-03-28T10:00:00", "time_zone": "Europe/Berlin"},
    "participants": [{"email": "bob@example.org"}],
}
KEY = {"Idempotency-Key": "5b7c2a1e-the-first"}
REPLAYED = "idempotency-replayed"
CALENDAR = calendar(component("SUMMARY:Lunch"))
# Of the request, but for what is said of the present one.
OF_THIS_REQUEST = {"x-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", REPLAYED}


@pytest.fixture
async def ann(register: Register) -> Person:
    return await register("Ann")


def rows(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_THIS_REQUEST}


def assert_replay(answer: httpx.Response, first: httpx.Response) -> None:
    assert REPLAYED not in first.headers
    assert answer.headers[REPLAYED] == "true"
    assert (answer.status_code, answer.content, headers(answer)) == (first.status_code, first.content, headers(first))


async def test_a_repeat_is_answered_as_the_first_and_makes_nothing(ann: Person, connection: Connection) -> None:
    first = await ann.post("/events", json=EVENT, headers=KEY)
    assert first.status_code == 201, first.text
    assert first.headers["etag"] == '"1"'
    assert first.headers["location"] == f"/api/v1/events/{first.json()['id']}"
    for _ in range(2):
        assert_replay(await ann.post("/events", json=EVENT, headers=KEY), first)
    assert (rows(connection, "events"), rows(connection, "changes"), rows(connection, "participants")) == (1, 1, 1)
    other = await ann.post("/events", json=EVENT, headers={"Idempotency-Key": "another"})
    assert other.json()["id"] != first.json()["id"]


async def test_a_change_is_made_once(ann: Person, connection: Connection) -> None:
    path = f"/events/{(await ann.post('/events', json=EVENT)).json()['id']}"
    change = {"json": {"title": "Lunch"}, "headers": KEY | {"If-Match": '"1"'}}
    first = await ann.patch(path, **change)
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    again = await ann.patch(path, **change)
    assert_replay(again, first)  # although the ETag of If-Match is stale now
    moved = await ann.patch(path, json={"title": "Dinner"}, headers={"If-Match": '"2"'})
    assert moved.status_code == 200
    assert_replay(await ann.patch(path, **change), first)
    assert rows(connection, "changes") == 3


async def test_an_answer_without_a_body_and_a_request_without_one(ann: Person, connection: Connection) -> None:
    event = (await ann.post("/events", json=EVENT)).json()["id"]
    first = await ann.post(f"/events/{event}/cancel", headers=KEY)
    assert first.json()["status"] == "cancelled"
    assert (await ann.post(f"/events/{event}/restore")).json()["status"] == "confirmed"
    unread = b"what is not read is no part of it"
    assert_replay(await ann.post(f"/events/{event}/cancel", headers=KEY, content=unread), first)
    assert (await ann.get(f"/events/{event}")).json()["status"] == "confirmed"
    statement = text("INSERT INTO notifications (person_id, change_id) SELECT :person, id FROM changes RETURNING id")
    notification = connection.execute(statement, {"person": ann.person_id}).scalars().first()
    path = f"/notifications/{notification}/read"
    first = await ann.post(path, headers={"Idempotency-Key": "read"})
    assert (first.status_code, first.content) == (204, b"")
    assert_replay(await ann.post(path, headers={"Idempotency-Key": "read"}), first)


async def test_an_import_is_run_once(ann: Person, connection: Connection) -> None:
    request = {"content": CALENDAR, "headers": KEY | {"Content-Type": "text/calendar"}}
    first = await ann.post("/events/import", **request)
    assert first.json()["created"] == 1, first.text
    assert_replay(await ann.post("/events/import", **request), first)
    other = await ann.post("/events/import", **request | {"content": CALENDAR.replace(b"Lunch", b"Brunch")})
    assert_problem(other, 422, "invalid")
    assert rows(connection, "changes") == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [("/events", EVENT | {"title": "Lunch"}), ("/events?notify=none", EVENT), ("/events/import", EVENT)],
)
async def test_a_key_belongs_to_one_request(
    ann: Person, connection: Connection, path: str, body: dict[str, Any]
) -> None:
    assert (await ann.post("/events", json=EVENT, headers=KEY)).status_code == 201
    if path.endswith("import"):
        answer = await ann.post(path, content=CALENDAR, headers=KEY | {"Content-Type": "text/calendar"})
    else:
        answer = await ann.post(path, json=body, headers=KEY)
    problem = assert_problem(answer, 422, "invalid")
    assert problem["errors"][0]["pointer"] == "/header/idempotency-key"
    assert REPLAYED not in answer.headers
    assert rows(connection, "events") == 1


async def test_a_key_is_its_account_s_own(
    ann: Person, register: Register, client: httpx.AsyncClient, connection: Connection
) -> None:
    bob = await register("Bob")
    first = await ann.post("/events", json=EVENT, headers=KEY)
    his = await bob.post("/events", json=EVENT, headers=KEY)
    assert REPLAYED not in his.headers
    assert his.json()["organizer"]["name"] == "Bob"
    assert_replay(await bob.post("/events", json=EVENT, headers=KEY), his)
    # A program of hers is her, but reads nothing that it may not write.
    for scopes, status in (["read", "write"], 201), (["read"], 403):
        made = await ann.post("/me/tokens", json={"name": "script", "scopes": scopes})
        login = {"Authorization": f"Bearer {made.json()['token']}"}
        answer = await client.post("/api/v1/events", json=EVENT, headers=login | KEY)
        assert answer.status_code == status
        assert (answer.headers.get(REPLAYED) == "true") == (status == 201)
    assert_problem(await client.post("/api/v1/events", json=EVENT, headers=KEY), 401, "unauthorized")
    assert_replay(await ann.post("/events", json=EVENT, headers=KEY), first)
    assert rows(connection, "events") == 2


async def test_of_two_at_once_one_is_run(
    ann: Person, register: Register, connection: Connection, worker_engine: Engine
) -> None:
    bob = await register("Bob")
    event = (await ann.post("/events", json=EVENT)).json()["id"]
    other = (await ann.post("/events", json=EVENT)).json()["id"]
    change = {"json": {"title": "Lunch"}, "headers": KEY | {"If-Match": "*"}}
    with locked(worker_engine, event):
        running = asyncio.create_task(ann.patch(f"/events/{event}", **change))
        await someone_waits(connection)
        for path in event, other:  # that the key is taken is all that can be told now
            answer = await ann.patch(f"/events/{path}", **change)
            assert_problem(answer, 409, "in-progress")
            assert answer.headers["retry-after"] == "1"
        assert (await bob.post("/events", json=EVENT, headers=KEY)).status_code == 201, "the same key of somebody else"
        key = {"Idempotency-Key": "another"}
        assert (await ann.post("/events", json=EVENT, headers=key)).status_code == 201, "another key"
    first = await running
    assert first.json()["title"] == "Lunch"
    assert_replay(await ann.patch(f"/events/{event}", **change), first)


async def test_of_many_at_once_one_is_run(ann: Person, connection: Connection) -> None:
    answers = await asyncio.gather(*(ann.post("/events", json=EVENT, headers=KEY) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum(REPLAYED not in answer.headers for answer in made) == 1
    assert rows(connection, "events") == 1


async def test_of_one_that_died_nothing_is_left(ann: Person, connection: Connection, worker_engine: Engine) -> None:
    event = (await ann.post("/events", json=EVENT)).json()["id"]
    change = {"json": {"title": "Lunch"}, "headers": KEY | {"If-Match": "*"}}
    with locked(worker_engine, event):
        running = asyncio.create_task(ann.patch(f"/events/{event}", **change))
        await someone_waits(connection)
        connection.execute(
            text("""
                SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'
            """)
        )
        assert_problem(await running, 503, "unavailable")
    answer = await ann.patch(f"/events/{event}", **change)
    assert (answer.status_code, answer.headers.get(REPLAYED)) == (200, None)


async def test_a_commit_that_fails_leaves_neither_event_nor_key(ann: Person, connection: Connection) -> None:
    for at_last, status in ("RAISE EXCEPTION 'no'", 500), ("PERFORM pg_terminate_backend(pg_backend_pid())", 503):
        with at_commit(connection, at_last, "events"):
            assert (await ann.post("/events", json=EVENT, headers=KEY)).status_code == status
        assert (rows(connection, "events"), rows(connection, "idempotency_keys")) == (0, 0)
    # Nor is there an event without its key.
    with at_commit(connection, "RAISE EXCEPTION 'no'", "idempotency_keys"):
        assert (await ann.post("/events", json=EVENT, headers=KEY)).status_code == 500
        assert (rows(connection, "events"), rows(connection, "idempotency_keys")) == (0, 0)
        assert (await ann.post("/events", json=EVENT)).status_code == 201, "what has no key does not need the table"
    answer = await ann.post("/events", json=EVENT, headers=KEY)
    assert (answer.status_code, answer.headers.get(REPLAYED)) == (201, None)


async def test_what_was_refused_is_run_again(ann: Person, connection: Connection) -> None:
    assert_problem(await ann.post("/events", json={"title": "?"}, headers=KEY), 422, "invalid")
    event = (await ann.post("/events", json=EVENT, headers=KEY)).json()["id"]
    change = {"json": {"title": "Lunch"}, "headers": {"Idempotency-Key": "change", "If-Match": '"1"'}}
    assert (await ann.post(f"/events/{event}/cancel")).status_code == 200
    refused = {**change, "headers": change["headers"] | {"If-Match": '"2"'}}
    assert_problem(await ann.patch(f"/events/{event}", **refused), 409, "cancelled")
    assert_problem(await ann.patch(f"/events/{event}", **change), 412, "stale")
    assert rows(connection, "idempotency_keys") == 1
    await ann.post(f"/events/{event}/restore")
    again = {**change, "headers": change["headers"] | {"If-Match": '"3"'}}
    answer = await ann.patch(f"/events/{event}", **again)
    assert (answer.status_code, answer.headers.get(REPLAYED)) == (200, None)


async def test_what_is_counted_although_it_is_refused_is_counted_with_a_key(
    ann: Person, app: FastAPI, connection: Connection
) -> None:
    """The one thing that a refusal writes: otherwise a key would let codes be guessed without end."""
    statement = text("""
        INSERT INTO channels (person_id, type, name, address, code_expires_at)
        VALUES (:person, 'email', 'mine', :address, now() + interval '1 hour') RETURNING id
    """)
    address = app.state.sealer.seal({"email": "ann@elsewhere.example", "code": "123456"})
    channel = connection.execute(statement, {"person": ann.person_id, "address": address}).scalar_one()
    path, guess = f"/me/channels/{channel}/verify", {"json": {"code": "654321"}, "headers": KEY}
    for tries in 1, 2:
        assert_problem(await ann.post(path, **guess), 422, "invalid")
        assert connection.execute(text("SELECT code_tries FROM channels")).scalar_one() == tries
    first = await ann.post(path, json={"code": "123456"}, headers=KEY)
    assert first.status_code == 200, first.text
    assert_replay(await ann.post(path, json={"code": "123456"}, headers=KEY), first)


async def test_a_key_is_good_for_a_day(ann: Person, connection: Connection) -> None:
    first = await ann.post("/events", json=EVENT, headers=KEY)
    age = text("UPDATE idempotency_keys SET created_at = now() - CAST(:age AS interval)")
    connection.execute(age, {"age": "23:59:00"})
    assert_replay(await ann.post("/events", json=EVENT, headers=KEY), first)
    connection.execute(age, {"age": "24:00:01"})
    second = await ann.post("/events", json=EVENT | {"title": "Lunch"}, headers=KEY)
    assert (second.status_code, second.headers.get(REPLAYED)) == (201, None)
    assert_replay(await ann.post("/events", json=EVENT | {"title": "Lunch"}, headers=KEY), second)
    assert rows(connection, "idempotency_keys") == 1


@pytest.mark.parametrize("key", ["", "a" * 256, "né", "a\tb", "\x7f"])
async def test_a_key_that_is_none_is_refused(ann: Person, connection: Connection, key: str) -> None:
    answer = await ann.post("/events", json=EVENT, headers={"Idempotency-Key": key.encode("latin-1")})
    problem = assert_problem(answer, 422, "invalid")
    assert problem["errors"][0]["pointer"] == "/header/idempotency-key"
    assert "255" in problem["detail"]
    assert rows(connection, "events") == 0


async def test_the_longest_key_and_a_key_given_twice(ann: Person) -> None:
    key = {"Idempotency-Key": '"' + "~ " * 126 + '~"'}
    assert len(key["Idempotency-Key"]) == 255
    first = await ann.post("/events", json=EVENT, headers=key)
    assert_replay(await ann.post("/events", json=EVENT, headers=key), first)
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), *ann.authorization.items()]
    assert_problem(await ann.client.post("/api/v1/events", json=EVENT, headers=twice), 422, "invalid")


async def test_answers_are_kept_sealed(ann: Person, app: FastAPI, connection: Connection) -> None:
    await ann.post("/events", json=EVENT, headers=KEY)
    kept = connection.execute(text("SELECT * FROM idempotency_keys")).one()
    assert b"Retrospective" not in bytes(kept.body)
    assert b"Retrospective" in app.state.sealer.open_bytes(bytes(kept.body))
    assert set(kept.headers) == {"content-type", "etag", "location"}
    app.state.sealer, good = Sealer(SecretStr("x" * 40)), app.state.sealer
    try:
        assert_problem(await ann.post("/events", json=EVENT, headers=KEY), 409, "answer-lost")
    finally:
        app.state.sealer = good
    assert rows(connection, "events") == 1


async def test_a_secret_is_not_kept(ann: Person, connection: Connection) -> None:
    answers = [await ann.post("/me/tokens", json=TOKEN, headers=KEY) for _ in range(2)]
    assert answers[0].json()["token"] != answers[1].json()["token"]
    assert rows(connection, "idempotency_keys") == 0


async def test_an_answer_of_any_length_is_not_kept(
    ann: Person, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MAX_ANSWER", 100)
    assert (await ann.post("/events", json=EVENT, headers=KEY)).status_code == 201
    assert (rows(connection, "events"), rows(connection, "idempotency_keys")) == (1, 0)


async def test_the_dispatcher_is_woken_by_what_was_written_and_by_no_repeat(ann: Person, database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute(f"LISTEN {Channel.CHANGES}")
        await ann.post("/events", json=EVENT, headers=KEY)
        assert len([note async for note in listener.notifies(timeout=10, stop_after=1)]) == 1
        await ann.post("/events", json=EVENT, headers=KEY)
        assert [note async for note in listener.notifies(timeout=0.1)] == []


async def test_what_has_no_key_costs_no_statement(ann: Person, app: FastAPI) -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = app.state.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await ann.post("/events", json=EVENT)
        assert statements == []  # that which makes the event goes past SQLAlchemy
        await ann.post("/events", json=EVENT, headers=KEY)
        assert sum("idempotency" in one for one in statements) == 2
    finally:
        event.remove(engine, "before_cursor_execute", note)


OWN_TRANSACTIONS = {"/api/v1/events", "/api/v1/events/import"}
"""Routes that take keys and ask for their transaction themselves (`transaction_of`): each has a test here."""
SHOWN_ONCE = {
    "/api/v1/me/tokens",
    "/api/v1/me/calendars",
    "/api/v1/me/channels",
    "/api/v1/me/channels/{channel_id}/secret",
}


async def test_openapi_says_where_a_key_is_taken_and_there_it_is(app: FastAPI) -> None:
    document = app.openapi()
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        assert isinstance(route, Route)
        for method in route.methods:
            operation = document["paths"].get(context.path_format, {}).get(method.lower())
            if operation is None:
                continue
            declared = {"$ref": "#/components/parameters/IdempotencyKey"} in operation.get("parameters", [])
            assert declared == route.takes_key, context.path_format
            if method in {"POST", "PATCH"}:
                for_the_logged_in = "security" in operation and context.path_format not in SHOWN_ONCE
                assert route.takes_key == for_the_logged_in, context.path_format
            if declared:
                assert "in" in document["components"]["parameters"]["IdempotencyKey"]
                asked = set(asked_for(route.dependant))
                assert asked & {transaction, question} or context.path_format in OWN_TRANSACTIONS, context.path_format
