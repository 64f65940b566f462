"""A preview says what the workers then do: the API's code and theirs, on one database, side by side."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from planner_api.app import create_app
from planner_common.people import person_id
from planner_common.settings import Settings, get_settings
from planner_worker.database import engine
from planner_worker.delivery.facts import look
from planner_worker.delivery.present import PutOff, Superseded, verdict
from planner_worker.tasks.fan_out import fan_out
from pydantic import SecretStr
from sqlalchemy import Connection, text

ANN, BOB, CARL, DORA, ERIN, FRED = (f"{name}@example.org" for name in ("ann", "bob", "carl", "dora", "erin", "fred"))
SMTP = "smtp://127.0.0.1:1"
TOKYO = ZoneInfo("Asia/Tokyo")
MATCH = {"headers": {"If-Match": "*"}}
EVENT = {
    "title": "Retrospective",
    "start": {"date_time": "2031-03-28T09:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2031-03-28T10:00:00", "time_zone": "Europe/Berlin"},
    "participants": [{"email": email} for email in (ANN, BOB, CARL, DORA, ERIN)],
}
Sent = set[tuple[str, str, datetime | None]]
"""Who gets a message, by which type of channel, and when it leaves; None: at once."""


@pytest.fixture
def settings(settings: Settings) -> Iterator[Settings]:
    """The API's settings; the worker's code reads the same from the environment."""
    assert settings.encryption_keys is not None
    told = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ENCRYPTION_KEYS": settings.encryption_keys.get_secret_value(),
        "SMTP_URL": SMTP,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        engine.cache_clear()
        yield settings.model_copy(update={"smtp_url": SecretStr(SMTP)})
        engine().dispose()
        engine.cache_clear()
    get_settings.cache_clear()


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://planner.example/api/v1") as client,
    ):
        yield client, app.state.access_tokens


def join(connection: Connection, email: str) -> Any:
    statement = text("""
        INSERT INTO accounts (person_id, email, name, time_zone, locale, password_hash)
        VALUES (:person, :email, :email, 'Asia/Tokyo', 'ru', '') RETURNING id
    """)
    return connection.execute(statement, {"person": person_id(email), "email": email}).scalar_one()


def wishes(connection: Connection) -> None:
    """Bob's night is now, Carl reads a digest and has two channels, Erin wants no mails; Fred has muted by and by."""
    local = datetime.now(TOKYO)
    values = {
        "bob": person_id(BOB),
        "carl": person_id(CARL),
        "erin": person_id(ERIN),
        "begin": (local - timedelta(hours=2)).time(),
        "end": (local + timedelta(hours=2)).time(),
    }
    connection.execute(
        text("""
            INSERT INTO preferences (person_id, quiet_from, quiet_to, email_digest, email_paused_at) VALUES
                   (:bob, :begin, :end, 'none', NULL), (:carl, NULL, NULL, 'daily', NULL),
                   (:erin, NULL, NULL, 'none', now())
        """),
        values,
    )
    connection.execute(
        text("""
            WITH channel AS (
                INSERT INTO channels (person_id, type, name, address, verified_at, paused_at)
                VALUES (:carl, 'webhook', 'a', '', now(), NULL), (:carl, 'apprise', 'b', '', now(), now()),
                       (:bob, 'webhook', 'c', '', now(), NULL)
                RETURNING *
            )
            INSERT INTO routes (person_id, channel_id, type, kinds)
            SELECT person_id, id, type, '{invitation,update,removal,cancellation}' FROM channel
        """),
        values,
    )


def said(preview: dict[str, Any]) -> Sent:
    return {
        (told["person"]["email"], channel["type"], None if channel["when"] == "now" else instant(channel["when"]))
        for told in preview["told"]
        for channel in told["channels"]
    }


def instant(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)


def done(connection: Connection) -> tuple[set[str], Sent]:
    """Fan out what is due. Returns who is told of it, and what becomes of the new deliveries."""
    names = {person_id(email): email for email in (ANN, BOB, CARL, DORA, ERIN, FRED)}
    changes = list(connection.execute(text("SELECT id FROM changes WHERE fanned_out_at IS NULL ORDER BY id")).scalars())
    fan_out(changes)
    told = connection.execute(
        text("SELECT person_id FROM notifications WHERE change_id = ANY(:changes)"), {"changes": changes}
    ).scalars()
    made = connection.execute(
        text("SELECT id, claims FROM deliveries WHERE change_id = ANY(:changes)"), {"changes": changes}
    )
    with engine().connect() as worker:
        verdicts = [
            (facts, verdict(facts, email_on=True)) for facts in look(worker, [(row.id, row.claims) for row in made])
        ]
    sent = {
        (names[facts.person_id], facts.type, found.until if isinstance(found, PutOff) else None)
        for facts, found in verdicts
        if not isinstance(found, Superseded)
    }
    return {names[person] for person in told}, sent


async def test_what_was_said_is_done(
    api: tuple[httpx.AsyncClient, Any], connection: Connection, subtests: pytest.Subtests
) -> None:
    client, tokens = api
    logins = {}
    for email in (ANN, BOB, CARL, ERIN, FRED):
        token = tokens.issue(join(connection, email), person_id(email))
        logins[email] = {"Authorization": f"Bearer {token}"}
    wishes(connection)

    async def call(email: str, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = logins[email] | arguments.pop("headers", {})
        answer = await client.request(method, path, headers=headers, **arguments)
        assert answer.is_success, answer.text
        return answer

    async def compare(email: str, method: str, path: str, *, messages: int, **arguments: Any) -> Any:
        preview = (await call(email, method, path, params={"dry_run": "true"}, **arguments)).json()
        real = await call(email, method, path, **arguments)
        with subtests.test(method=method, path=path):
            told, sent = done(connection)
            assert {told["person"]["email"] for told in preview["told"]} == told
            assert said(preview) == sent
            assert len(sent) == sum(preview["messages"].values()) == messages
            assert len(told) == preview["people"]
        return real.json() if real.content else None

    event = await compare(ANN, "POST", "/events", json=EVENT, messages=5)
    path = f"/events/{event['id']}"
    await compare(ANN, "PATCH", path, json={"title": "Lunch"}, **MATCH, messages=5)
    await compare(ANN, "POST", f"{path}/participants", json={"participants": [{"email": FRED}]}, messages=1)
    await call(FRED, "PUT", f"{path}/mute")
    await compare(BOB, "PUT", f"{path}/response", json={"response": "declined"}, messages=0)
    people = (await call(ANN, "GET", f"{path}/participants")).json()["items"]
    carl = next(person["id"] for person in people if person["email"] == CARL)
    await compare(ANN, "DELETE", f"{path}/participants/{carl}", messages=2)
    late = {name: EVENT[name] | {"date_time": f"2031-03-29T0{hour}:00:00"} for name, hour in (("start", 8), ("end", 9))}  # type: ignore[operator]
    await compare(ANN, "PATCH", path, json=late, **MATCH, messages=2)
    await compare(ANN, "POST", f"{path}/cancel", messages=3)
    await compare(ANN, "POST", f"{path}/restore", messages=2)
    await compare(ANN, "DELETE", path, **MATCH, messages=3)
    past = {name: EVENT[name] | {"date_time": f"2021-03-29T0{hour}:00:00"} for name, hour in (("start", 8), ("end", 9))}  # type: ignore[operator]
    await compare(ANN, "POST", "/events", json=EVENT | past, messages=0)
