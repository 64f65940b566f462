"""`?dry_run=true`: who would be told what, where and when; and nothing is written."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from planner_api.events import previewing
from planner_api.events.dependencies import author_of, quiet_author_of
from planner_api.routing import Route, asked_for
from planner_common.messages import Channel
from planner_common.models import metadata
from planner_common.people import person_id
from planner_common.settings import Settings
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, text

from api.tests.locking import locked, someone_waits

from .conftest import EVENT, Log, Make
from .test_calendars import calendar, component

BOB, CARL, DORA = "bob@example.org", "carl@example.org", "dora@example.org"
CALENDAR = calendar(component("SUMMARY:Lunch"))

Join = Callable[..., Awaitable[Any]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1:1"), "reach_per_hour": 0})


def everything(connection: Connection) -> dict[str, list[str]]:
    """All rows of all tables."""
    return {
        table: sorted(connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t")).scalars())
        for table in metadata.tables
    }


def emails(preview: dict[str, Any]) -> list[str]:
    return [told["person"]["email"] for told in preview["told"]]


def channels(preview: dict[str, Any], email: str) -> list[dict[str, Any]]:
    (told,) = (told for told in preview["told"] if told["person"]["email"] == email)
    assert told["inbox"] is True
    found: list[dict[str, Any]] = told["channels"]
    return found


NOW = {"type": "email", "when": "now", "reason": None}


def add_channel(connection: Connection, email: str, kind: str, digest: str = "none", **columns: str) -> None:
    """A verified channel that takes everything, since the last century."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", {value}" for value in columns.values())
    connection.execute(
        text(f"""
            WITH channel AS (
                INSERT INTO channels (person_id, type, name, address, digest, verified_at {names})
                VALUES (:person, :type, 'a channel', '', :digest, now() {values}) RETURNING id
            )
            INSERT INTO routes (person_id, channel_id, type, kinds, since)
            SELECT :person, id, :type, '{{invitation,update,cancellation}}', '1999-01-01' FROM channel
        """),
        {"person": person_id(email), "type": kind, "digest": digest},
    )


def prefer(connection: Connection, email: str, **columns: Any) -> None:
    names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    connection.execute(
        text(f"INSERT INTO preferences (person_id, {names}) VALUES (:person, {values})"),
        {"person": person_id(email), **columns},
    )


async def test_every_request_about_an_event_can_be_rehearsed(
    ann: Any, bob: Any, make: Make, log: Log, connection: Connection, subtests: pytest.Subtests
) -> None:
    """Nothing is written, and what is then written for real is what was said."""
    event = await make(BOB, CARL)
    path = f"/events/{event['id']}"
    carl = (await ann.get(f"{path}/participants")).json()["items"][1]["id"]
    people = {"json": {"participants": [{"email": DORA}, {"email": BOB}]}}
    late = {"start": {"date_time": "2031-03-28T09:30:00", "time_zone": "Europe/Berlin"}}
    calendar = {"content": CALENDAR, "headers": {"Content-Type": "text/calendar"}}
    steps: list[tuple[Any, str, str, dict[str, Any], list[str], set[str]]] = [
        (ann, "POST", "/events", {"json": EVENT | people["json"]}, ["creation"], {BOB, DORA}),
        (ann, "PATCH", path, {"json": {"title": "Lunch"}, "headers": {"If-Match": "*"}}, ["update"], {BOB, CARL}),
        (ann, "PATCH", path, {"json": late, "headers": {"If-Match": "*"}}, ["reschedule"], {BOB, CARL}),
        (ann, "PATCH", path, {"json": {"title": "Lunch"}, "headers": {"If-Match": "*"}}, [], set()),
        (ann, "POST", f"{path}/participants", people, ["invitation"], {DORA}),
        (ann, "POST", f"{path}/participants", people, [], set()),
        (bob, "PUT", f"{path}/response", {"json": {"response": "accepted"}}, ["response"], {"ann@example.org"}),
        (ann, "DELETE", f"{path}/participants/{carl}", {}, ["removal"], {CARL}),
        (ann, "POST", f"{path}/cancel", {}, ["cancellation"], {BOB, DORA}),
        (ann, "POST", f"{path}/restore", {}, ["restoration"], {BOB, DORA}),
        (ann, "DELETE", path, {"headers": {"If-Match": "*"}}, ["cancellation", "deletion"], {BOB, DORA}),
        (ann, "POST", f"/events/import?invite={BOB}&notify=all", calendar, ["creation"], {BOB}),
        (ann, "POST", f"/events/import?invite={DORA}", calendar, ["invitation"], set()),
    ]
    for caller, method, address, body, kinds, told in steps:
        with subtests.test(method=method, path=address, kinds=kinds):
            before, newest = everything(connection), log.count()
            asked = "&" if "?" in address else "?"
            rehearsed = await caller.request(method, f"{address}{asked}dry_run=true", **body)
            assert rehearsed.status_code == 200, rehearsed.text
            assert everything(connection) == before
            preview = rehearsed.json()
            assert (preview["dry_run"], preview["held"]) == (True, False)
            assert [change["kind"] for change in preview["changes"]] == kinds
            assert (set(emails(preview)), preview["people"]) == (told, len(told))

            real = await caller.request(method, address, **body)
            assert real.status_code == preview["status"], real.text
            assert alike(real.json() if real.content else None) == alike(preview["answer"])
            written = connection.execute(
                text("SELECT id, event_id, kind, revision, diff FROM changes ORDER BY id OFFSET :newest"),
                {"newest": newest},
            ).all()
            assert [(change.kind, change.revision, change.diff) for change in written] == [
                (change["kind"], change["revision"], change["diff"]) for change in preview["changes"]
            ]
            reached = dict(log.told(str(written[0].event_id), BOB, CARL, DORA, "ann@example.org")[-1:]) if told else {}
            if kinds[-1:] != ["deletion"] and told:
                assert reached == {kinds[-1]: told}


def alike(answer: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without what can't be the same: ids of what is made, and when."""
    own = {"id", "uid", "created_at", "updated_at", "responded_at"}
    return answer and {name: value for name, value in answer.items() if name not in own}


async def test_what_is_told_and_where(ann: Any, make: Make, connection: Connection) -> None:
    connection.execute(text("UPDATE accounts SET name = 'Ann Other'"))
    add_channel(connection, BOB, "webhook")
    add_channel(connection, BOB, "apprise")
    body = EVENT | {"participants": [{"email": BOB, "name": "Bobby"}, {"email": DORA}]}
    preview = (await ann.post("/events?dry_run=true", json=body)).json()
    assert preview["changes"] == [{"kind": "creation", "revision": 1, "diff": {}, "urgent": False, "held": False}]
    assert preview["messages"] == {"email": 2, "webhook": 1, "apprise": 1}
    assert (preview["people"], preview["truncated"], preview["held"]) == (2, False, False)
    assert preview["answer"]["title"] == EVENT["title"]
    assert preview["told"][0] == {
        "person": {"email": BOB, "name": "Bobby"},
        "kind": "invitation",
        "revision": 1,
        "summary": "Ann Other invited you to “Retrospective”: Friday, March 28, 2031, 8:00\u202fAM.",
        "inbox": True,
        "channels": [NOW, NOW | {"type": "webhook"}, NOW | {"type": "apprise"}],
    }
    assert preview["told"][1]["person"] == {"email": DORA, "name": None}
    assert channels(preview, DORA) == [NOW]


async def test_what_language_and_zone_others_read_in_is_not_told(ann: Any, register: Join) -> None:
    await register("Bob", locale="ru", time_zone="Asia/Tokyo")
    preview = (await ann.post("/events?dry_run=1", json=EVENT | {"participants": [{"email": BOB}]})).json()
    sentence = "Ann invited you to “Retrospective”: Friday, March 28, 2031, 8:00\u202fAM."
    assert preview["told"][0]["summary"] == sentence
    assert preview["told"][0]["person"]["name"] is None, "what he calls himself is not told"


async def test_quiet_hours_and_digests(ann: Any, register: Join, connection: Connection) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    await register("Bob", time_zone="Asia/Tokyo")
    await register("Carl", time_zone="Asia/Tokyo")
    now = datetime.now(UTC)
    local = now.astimezone(zone)
    begun, ends = (local - timedelta(hours=2)).time(), (local + timedelta(hours=3)).replace(second=0, microsecond=0)
    prefer(connection, BOB, quiet_from=begun, quiet_to=ends.time())
    prefer(connection, CARL, email_digest="hourly")
    add_channel(connection, CARL, "webhook")
    add_channel(connection, DORA, "apprise", "hourly")
    people = [{"email": email} for email in (BOB, CARL, DORA)]
    preview = (await ann.post("/events?dry_run=true", json=EVENT | {"participants": people})).json()
    (quiet,) = channels(preview, BOB)
    assert quiet["type"] == "email"
    assert datetime.fromisoformat(quiet["when"]) == ends
    assert quiet["reason"] == "own_choice", "not which choice"
    email, webhook = channels(preview, CARL)
    hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    assert datetime.fromisoformat(email["when"]) in {hour, hour + timedelta(hours=1)}
    assert email["reason"] == "own_choice"
    assert webhook == NOW | {"type": "webhook"}
    assert [one["when"] == "now" for one in channels(preview, DORA)] == [True, False]
    # What would come too late does not wait.
    soon = [(now + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S") for minutes in (170, 190)]
    times = {name: {"date_time": at, "time_zone": "UTC"} for name, at in zip(("start", "end"), soon, strict=True)}
    preview = (await ann.post("/events?dry_run=true", json=EVENT | times | {"participants": people})).json()
    assert channels(preview, BOB) == [NOW]
    assert preview["changes"][0]["urgent"] is False
    soon = [(now + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S") for minutes in (30, 190)]
    times = {name: {"date_time": at, "time_zone": "UTC"} for name, at in zip(("start", "end"), soon, strict=True)}
    preview = (await ann.post("/events?dry_run=true", json=EVENT | times | {"participants": people})).json()
    assert preview["changes"][0]["urgent"] is True


async def test_who_wants_no_messages_finds_it_in_the_inbox(ann: Any, make: Make, connection: Connection) -> None:
    event = await make(BOB, CARL, DORA)
    connection.execute(
        text("INSERT INTO mutes (person_id, event_id) VALUES (:person, :event)"),
        {"person": person_id(BOB), "event": event["id"]},
    )
    add_channel(connection, BOB, "webhook")
    prefer(connection, CARL, email_paused_at=datetime.now(UTC))
    for closed in ("paused_at", "disabled_at", "ended_at"):
        add_channel(connection, CARL, "webhook", **{closed: "now()"})
    change = {"json": {"title": "Lunch"}, "headers": {"If-Match": "*"}}
    preview = (await ann.patch(f"/events/{event['id']}?dry_run=true", **change)).json()
    assert emails(preview) == [BOB, CARL, DORA]
    assert (channels(preview, BOB), channels(preview, CARL), channels(preview, DORA)) == ([], [], [NOW])
    assert (preview["people"], preview["messages"]) == (3, {"email": 1, "webhook": 0, "apprise": 0})


async def test_of_what_is_over_nobody_gets_a_message(ann: Any) -> None:
    past = {
        name: EVENT[name] | {"date_time": f"2020-03-28T{hour}:00:00"} for name, hour in (("start", "09"), ("end", "10"))
    }
    preview = (await ann.post("/events?dry_run=true", json=EVENT | past | {"participants": [{"email": BOB}]})).json()
    assert (emails(preview), channels(preview, BOB), preview["messages"]["email"]) == ([BOB], [], 0)
    series = EVENT | past | {"participants": [{"email": BOB}], "recurrence": ["RRULE:FREQ=DAILY"]}
    preview = (await ann.post("/events?dry_run=true", json=series)).json()
    assert preview["messages"]["email"] == 1  # it goes on


class TestWithoutMail:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"smtp_url": None})

    async def test_no_mail_is_promised(self, ann: Any, connection: Connection) -> None:
        add_channel(connection, BOB, "webhook")
        add_channel(connection, BOB, "email")
        preview = (await ann.post("/events?dry_run=true", json=EVENT | {"participants": [{"email": BOB}]})).json()
        assert channels(preview, BOB) == [NOW | {"type": "webhook"}]


class TestBrake:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"reach_per_hour": 3})

    async def test_what_an_admin_would_have_to_let_go(self, ann: Any, connection: Connection) -> None:
        body = EVENT | {"participants": [{"email": BOB}, {"email": CARL}, {"email": DORA}]}
        assert (await ann.post("/events?dry_run=true", json=body)).json()["held"] is False
        connection.execute(
            text("INSERT INTO reach VALUES (:person, date_trunc('hour', now()) - interval '1 hour', 100)"),
            {"person": ann.person_id},
        )
        assert (await ann.post("/events?dry_run=true", json=body)).json()["held"] is False
        # In this hour, and in the next one, should that begin just now.
        connection.execute(
            text("""
                INSERT INTO reach SELECT :person, date_trunc('hour', now()) + hours * interval '1 hour', 1
                  FROM generate_series(0, 1) AS hours
            """),
            {"person": ann.person_id},
        )
        preview = (await ann.post("/events?dry_run=true", json=body)).json()
        assert (preview["held"], preview["changes"][0]["held"], preview["people"]) == (True, True, 3)
        preview = (await ann.post("/events?dry_run=true&notify=none", json=body)).json()
        assert (preview["held"], preview["people"], preview["told"]) == (False, 0, [])


async def test_of_very_many_the_first_are_listed_and_all_are_counted(
    ann: Any, make: Make, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await make()
    people = [f"person{number}@example.org" for number in range(500)]
    add_channel(connection, people[499], "webhook")
    body = {"participants": [{"email": email} for email in people]}
    preview = (await ann.post(f"/events/{event['id']}/participants?dry_run=true", json=body)).json()
    assert preview["answer"] == {"added": 500, "unchanged": 0, "revision": 2}
    assert emails(preview) == people[:200]
    assert (preview["people"], preview["truncated"]) == (500, True)
    assert preview["messages"] == {"email": 500, "webhook": 1, "apprise": 0}
    monkeypatch.setattr(previewing, "LISTED", 500)
    preview = (await ann.post(f"/events/{event['id']}/participants?dry_run=true", json=body)).json()
    assert (emails(preview), preview["truncated"]) == (people, False)


async def test_what_others_write_meanwhile_is_not_in_it(
    ann: Any, bob: Any, make: Make, worker_engine: Engine, connection: Connection, log: Log
) -> None:
    """Nor is it in the way of the preview: only who changes the same event waits."""
    event = await make(BOB)
    with locked(worker_engine, event["id"]):
        waiting = asyncio.create_task(ann.post(f"/events/{event['id']}/cancel?dry_run=true"))
        await someone_waits(connection)
        for _ in range(3):
            assert (await bob.post("/events", json=EVENT | {"participants": [{"email": CARL}]})).status_code == 201
    preview = (await waiting).json()
    assert (emails(preview), len(preview["changes"])) == ([BOB], 1)
    assert log.count() == 4


async def test_what_is_refused_is_refused(ann: Any, bob: Any, make: Make, client: Any, connection: Connection) -> None:
    event = await make(BOB, capacity=1)
    path = f"/events/{event['id']}?dry_run=true"
    before = everything(connection)
    assert (await ann.post("/events?dry_run=true", json={"title": "?"})).status_code == 422
    assert (await ann.post("/events?dry_run=perhaps", json=EVENT)).json()["errors"][0]["pointer"] == "/query/dry_run"
    assert (await ann.patch(path, json={"title": "Lunch"})).status_code == 428
    assert (await ann.patch(path, json={"title": "Lunch"}, headers={"If-Match": '"7"'})).status_code == 412
    assert (await bob.patch(path, json={"title": "Lunch"})).status_code == 403
    assert (await client.post("/api/v1/events?dry_run=true", json=EVENT)).status_code == 401
    assert everything(connection) == before
    await ann.post(f"/events/{event['id']}/cancel")
    answer = await ann.patch(path, json={"title": "Lunch"}, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/cancelled")


async def test_false_is_no_dry_run(ann: Any, log: Log) -> None:
    assert (await ann.post("/events?dry_run=false", json=EVENT)).status_code == 201
    assert log.count() == 1


async def test_no_answer_is_kept_and_none_is_repeated(ann: Any, log: Log, connection: Connection) -> None:
    key = {"Idempotency-Key": "key"}
    assert (await ann.post("/events?dry_run=true", json=EVENT, headers=key)).json()["dry_run"] is True
    made = await ann.post("/events", json=EVENT, headers=key)
    assert (made.status_code, made.headers.get("idempotency-replayed")) == (201, None)
    again = await ann.post("/events?dry_run=true", json=EVENT, headers=key)
    assert again.json()["changes"][0]["kind"] == "creation"
    assert (log.count(), connection.execute(text("SELECT count(*) FROM idempotency_keys")).scalar_one()) == (1, 1)


async def test_nobody_is_woken(ann: Any, database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute(f"LISTEN {Channel.CHANGES}")
        await ann.post("/events?dry_run=true", json=EVENT | {"participants": [{"email": BOB}]})
        assert [note async for note in listener.notifies(timeout=0.1)] == []


async def test_openapi_says_where_it_can_be_asked_for(app: FastAPI) -> None:
    document = app.openapi()
    preview = {"$ref": "#/components/schemas/Preview"}
    found = 0
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        assert isinstance(route, Route)
        asked = set(asked_for(route.dependant))
        assert route.rehearses == bool(asked & {author_of, quiet_author_of})
        for method in route.methods if route.rehearses else ():
            operation = document["paths"][context.path_format][method.lower()]
            assert any(parameter.get("name") == "dry_run" for parameter in operation["parameters"])
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert preview == schema or preview in schema["anyOf"]
            found += 1
    assert found == 9
    described = document["components"]["schemas"]
    for name in ("Preview", "PreviewedChange", "PreviewedNotification", "EventOut", "Added", "ParticipantOut"):
        assert name in described
