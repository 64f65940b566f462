"""Channels: made, shown without their addresses, changed, ended, tested; and the log of what went there."""

import asyncio
import base64
import json
import logging
from typing import Any
from uuid import UUID

import psycopg
import pytest
from planner_api.channels import kinds
from planner_common.sealing import Sealer
from planner_common.settings import Settings
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from api.tests.conftest import Person, until

from .conftest import ADDRESSES, DEFAULTS, SECRET_PATH, Kept, Make

HINTS = {"email": "a…@elsewhere.example", "webhook": "https://hooks.example.com", "apprise": "tgram://…"}
HOOK = {"type": "webhook", "name": "Hook", "url": "https://hooks.example.com/in"}


@pytest.mark.parametrize("kind", list(ADDRESSES))
async def test_a_channel_begins_unverified_with_a_code_on_its_way(ann: Person, kept: Kept, kind: str) -> None:
    made = await ann.post("/me/channels", json={"type": kind, "name": " Mine ", "digest": "hourly"} | ADDRESSES[kind])
    assert made.status_code == 201, made.text
    channel = made.json()
    secret = channel.pop("secret")
    assert made.headers["location"] == f"/api/v1/me/channels/{channel['id']}"
    assert (await ann.get(f"/me/channels/{channel['id']}")).json() == channel
    assert channel == {
        "id": channel["id"],
        "type": kind,
        "name": "Mine",
        "hint": HINTS[kind],
        "digest": "hourly",
        "verified": False,
        "paused": False,
        "disabled": None,
        "created_at": channel["created_at"],
    }
    address = kept.address(channel["id"])
    assert address.pop("code").isdecimal()
    assert address.pop("secrets", None) == ([secret] if kind == "webhook" else None)
    assert address == ADDRESSES[kind]
    assert kept.routes(channel["id"]) == []
    [delivery] = kept.deliveries(channel["id"])
    assert (delivery.person_id, delivery.type, delivery.change_id) == (ann.person_id, kind, None)
    assert (delivery.purpose, delivery.lane, delivery.state) == ("code", 0, "pending")


async def test_a_secret_is_as_standard_webhooks_writes_it(make: Make) -> None:
    secrets = {(await make("webhook"))["secret"] for _ in range(2)}
    assert len(secrets) == 2
    for secret in secrets:
        prefix, _, encoded = secret.partition("_")
        assert prefix == "whsec"
        assert len(base64.b64decode(encoded, validate=True)) == 32


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"type": "pigeon"}, "/type"),
        ({"name": " "}, "/name"),
        ({"name": "two\nlines"}, "/name"),
        ({"digest": "weekly"}, "/digest"),
        ({"url": None}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": "https://hooks.example.com/" + "x" * 2000}, "/url"),
        ({"url": "ftp://hooks.example.com"}, "/url"),
        ({"url": "https://127.0.0.1/in"}, "/url"),
        ({"url": "https://[::ffff:10.0.0.1]/in"}, "/url"),
        ({"url": "https://169.254.169.254/latest"}, "/url"),
        ({"url": "https://localhost/in"}, "/url"),
        ({"url": "https://hooks.example.com:22/in"}, "/url"),
        ({"url": "http://hooks.example.com/in"}, "/url"),
        ({"email": "ann@elsewhere.example"}, "/email"),
        ({"type": "email"}, "/url"),
        ({"type": "email", "email": "Ann@Example.org", "url": ...}, "/email"),
        ({"type": "apprise"}, "/url"),
        ({"type": "apprise", "url": "file:///etc/passwd"}, "/url"),
        ({"kinds": []}, "/kinds"),
    ],
)
async def test_a_fault_is_pointed_at(ann: Person, kept: Kept, change: dict[str, Any], pointer: str) -> None:
    body = {name: value for name, value in (HOOK | change).items() if value is not ...}
    refused = await ann.post("/me/channels", json=body)
    assert refused.status_code == 422, refused.text
    assert pointer in [fault["pointer"] for fault in refused.json()["errors"]]
    assert kept.rows("SELECT 1 FROM channels UNION ALL SELECT 1 FROM deliveries") == []


@pytest.mark.parametrize(("kind", "pointer"), [("webhook", "/url"), ("apprise", "/url"), ("email", "/email")])
async def test_a_channel_needs_an_address(ann: Person, kind: str, pointer: str) -> None:
    refused = await ann.post("/me/channels", json={"type": kind, "name": "Nowhere"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    ("kind", "address", "hint"),
    [
        ("apprise", "NTFYS://[user:s3cr3t@", "ntfys://…"),
        ("webhook", "https://Hooks.Example.com:8443", "https://Hooks.Example.com:8443"),
        ("email", "z@elsewhere.example", "z…@elsewhere.example"),
    ],
)
async def test_a_hint_is_what_may_be_shown(ann: Person, kind: str, address: str, hint: str) -> None:
    body = {"type": kind, "name": "Mine", "email" if kind == "email" else "url": address}
    made = await ann.post("/me/channels", json=body)
    assert (made.status_code, made.json()["hint"]) == (201, hint)


async def test_there_is_a_limit_to_channels(ann: Person, bob: Person, kept: Kept, make: Make, database: str) -> None:
    first = await make("webhook")
    kept.rows("""
        INSERT INTO channels (person_id, type, name, address)
        SELECT person_id, type, name, address FROM channels, generate_series(1, 18) RETURNING id
    """)
    async with await psycopg.AsyncConnection.connect(database) as holder:
        await holder.execute(str(kinds.LOCK).replace(":person", "%s"), [str(ann.person_id)])
        making = asyncio.gather(*(ann.post("/me/channels", json=HOOK) for _ in range(2)))
        await until(lambda: kept.waiting() == 2)
        await holder.rollback()
        both = await making
    assert sorted(answer.status_code for answer in both) == [201, 409]
    [refused] = [answer.json() for answer in both if answer.status_code == 409]
    assert refused["type"] == "/problems/too-many-channels"
    assert "20" in refused["detail"]
    assert (await bob.post("/me/channels", json=HOOK)).status_code == 201
    assert (await ann.delete(f"/me/channels/{first['id']}")).status_code == 204
    assert (await ann.post("/me/channels", json=HOOK)).status_code == 201


@pytest.mark.usefixtures("within_an_hour")
async def test_making_channels_is_limited_by_the_hour(ann: Person) -> None:
    """Each sends a message to an address that may be a stranger's, whatever is deleted again."""
    for _ in range(20):
        made = await ann.post("/me/channels", json=HOOK)
        assert made.status_code == 201
        await ann.delete(f"/me/channels/{made.json()['id']}")
    assert (await ann.post("/me/channels", json=HOOK)).status_code == 429


async def test_they_are_listed_in_pages(ann: Person, bob: Person, make: Make) -> None:
    made = [(await make(kind, verified=False))["id"] for kind in ("webhook", "email", "apprise")]
    await make("webhook", bob)
    first = (await ann.get("/me/channels?limit=2")).json()
    assert [one["id"] for one in first["items"]] == made[:2]
    rest = (await ann.get("/me/channels", params={"cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in rest["items"]] == made[2:]
    assert rest["next_cursor"] is None
    assert (await ann.get("/me/channels?cursor=nonsense")).status_code == 422


async def test_what_is_given_is_changed_and_the_rest_stays(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook")
    del channel["secret"]
    address = f"/me/channels/{channel['id']}"
    sealed = kept.channel(channel["id"]).address
    assert (await ann.patch(address, json={})).json() == channel
    changed = channel | {"name": "Other", "digest": "daily", "paused": True}
    answer = await ann.patch(address, json={"name": "Other", "digest": "daily", "paused": True})
    assert (answer.status_code, answer.json()) == (200, changed)
    since = kept.channel(channel["id"]).paused_at
    assert (await ann.patch(address, json={"paused": True})).json() == changed
    assert kept.channel(channel["id"]).paused_at == since
    assert (await ann.patch(address, json={"paused": False})).json() == changed | {"paused": False}
    assert kept.channel(channel["id"]).address == sealed
    for body, pointer in [
        ({"name": ""}, "/name"),
        ({"paused": "yes"}, "/paused"),
        ({"digest": None}, "/digest"),
        ({"enabled": False}, "/enabled"),
        ({"url": "https://example.com"}, "/url"),
    ]:
        refused = await ann.patch(address, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_what_planner_disabled_its_owner_brings_back(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook")
    address = f"/me/channels/{channel['id']}"
    disable = "UPDATE channels SET disabled_at = '2026-05-01T07:00Z', disabled_reason = '410 Gone' RETURNING id"
    kept.rows(disable)
    shown = (await ann.get(address)).json()
    assert shown["disabled"] == {"at": "2026-05-01T07:00:00Z", "reason": "410 Gone"}
    refused = await ann.post(f"{address}/test")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/disabled")
    assert (await ann.patch(address, json={"enabled": True})).json()["disabled"] is None
    assert (await ann.post(f"{address}/test")).status_code == 202
    assert kept.kinds(channel["id"]) == DEFAULTS


async def test_a_deleted_channel_is_gone_with_its_address(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("apprise")
    address = f"/me/channels/{channel['id']}"
    assert (await ann.delete(address)).status_code == 204
    row = kept.channel(channel["id"])
    assert (row.address, row.ended_at is None) == (b"", False)
    [route] = kept.routes(channel["id"])
    assert route.until is not None
    for method, path in EVERY:
        answer = await ann.request(method, path.format(channel=channel["id"]), json=BODIES.get(path))
        assert answer.status_code == 404, f"{method} {path}"
    assert (await ann.get("/me/channels")).json()["items"] == []


EVERY = [
    ("GET", "/me/channels/{channel}"),
    ("PATCH", "/me/channels/{channel}"),
    ("POST", "/me/channels/{channel}/secret"),
    ("POST", "/me/channels/{channel}/test"),
    ("POST", "/me/channels/{channel}/code"),
    ("POST", "/me/channels/{channel}/verify"),
    ("GET", "/me/channels/{channel}/deliveries"),
    ("DELETE", "/me/channels/{channel}"),
]
BODIES = {"/me/channels/{channel}": {"name": "Mine now"}, "/me/channels/{channel}/verify": {"code": "000000"}}


async def test_a_foreign_channel_is_not_there(
    ann: Person, bob: Person, make: Make, kept: Kept, subtests: pytest.Subtests
) -> None:
    channels = [await make("webhook"), await make("webhook", verified=False)]
    before = kept.rows("SELECT channels FROM channels ORDER BY id"), kept.rows("SELECT deliveries FROM deliveries")
    for channel in channels:
        for method, path in EVERY:
            with subtests.test(method=method, path=path, verified=channel["verified"]):
                foreign = await bob.request(method, path.format(channel=channel["id"]), json=BODIES.get(path))
                absent = await bob.request(method, path.format(channel=UUID(int=7)), json=BODIES.get(path))
                assert foreign.status_code == absent.status_code == 404
                assert foreign.json()["detail"] == absent.json()["detail"]
                nobody = await bob.client.request(
                    method, f"/api/v1{path.format(channel=channel['id'])}", json=BODIES.get(path)
                )
                assert nobody.status_code == 401
    after = kept.rows("SELECT channels FROM channels ORDER BY id"), kept.rows("SELECT deliveries FROM deliveries")
    assert before == after


async def test_a_personal_token_sees_channels_and_manages_none(ann: Person, make: Make) -> None:
    channel = await make("webhook")
    token = (await ann.post("/me/tokens", json={"name": "all", "scopes": ["read", "write"]})).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    for method, path in [("GET", "/me/channels"), ("POST", "/me/channels"), *EVERY]:
        body = HOOK if (method, path) == ("POST", "/me/channels") else BODIES.get(path)
        address = f"/api/v1{path.format(channel=channel['id'])}"
        answer = await ann.client.request(method, address, headers=headers, json=body)
        assert answer.status_code == (200 if method == "GET" else 403), f"{method} {path}"


async def test_the_two_newest_secrets_sign(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook")
    secrets = [channel["secret"]]
    for _ in range(2):
        rotated = await ann.post(f"/me/channels/{channel['id']}/secret")
        assert rotated.status_code == 200
        secrets.insert(0, rotated.json()["secret"])
        assert kept.address(channel["id"]) == ADDRESSES["webhook"] | {"secrets": secrets[:2]}
    assert len(set(secrets)) == 3
    mail = await make("email")
    refused = await ann.post(f"/me/channels/{mail['id']}/secret")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/no-webhook")


async def test_two_rotations_at_once_are_two(ann: Person, make: Make, kept: Kept, database: str) -> None:
    channel = await make("webhook")

    async with await psycopg.AsyncConnection.connect(database) as holder:
        await holder.execute("SELECT FROM channels FOR UPDATE")
        rotating = asyncio.gather(*(ann.post(f"/me/channels/{channel['id']}/secret") for _ in range(2)))
        await until(lambda: kept.waiting() == 2)
        await holder.rollback()
        rotated = await rotating
    assert set(kept.address(channel["id"])["secrets"]) == {answer.json()["secret"] for answer in rotated}


async def test_a_test_is_a_delivery(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook")
    address = f"/me/channels/{channel['id']}"
    queued = await ann.post(f"{address}/test")
    assert queued.status_code == 202
    code, test = kept.deliveries(channel["id"])
    assert (str(test.id), test.purpose, test.lane, test.person_id) == (queued.json()["id"], "test", 0, ann.person_id)
    assert code.purpose == "code"
    assert (await ann.patch(address, json={"paused": True})).status_code == 200
    assert (await ann.post(f"{address}/test")).json()["type"] == "/problems/paused"
    waiting = await make("email", verified=False)
    assert (await ann.post(f"/me/channels/{waiting['id']}/test")).json()["type"] == "/problems/not-verified"
    assert len(kept.deliveries(channel["id"])) == 2


@pytest.mark.usefixtures("within_an_hour")
async def test_tests_are_limited_by_the_hour(ann: Person, make: Make) -> None:
    address = f"/me/channels/{(await make('webhook'))['id']}/test"
    statuses = [(await ann.post(address)).status_code for _ in range(61)]
    assert statuses == [202] * 60 + [429]


async def test_the_log_shows_each_try(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook")
    event = kept.event(ann, ann.person_id)
    [code] = kept.deliveries(channel["id"])
    # A notification and its delivery, as fan-out writes them; the try of the one went out with the other, in a digest.
    kept.connection.execute(
        text("""
            WITH change AS (
                INSERT INTO changes (event_id, revision, kind, audience_size) VALUES (:event, 2, 'creation', 1)
                RETURNING id
            ), told AS (
                INSERT INTO notifications (change_id, person_id) SELECT id, :person FROM change
            ), delivery AS (
                INSERT INTO deliveries (change_id, person_id, channel_id, type, state, reason, message_id, finished_at)
                SELECT id, :person, :channel, 'webhook', 'dead', 'tries', :code, now() FROM change
            )
            INSERT INTO delivery_attempts
                   (delivery_id, number, started_at, finished_at, outcome, status, detail, milliseconds)
            VALUES (:code, 3, '2026-05-01T07:00:09Z', NULL, NULL, NULL, NULL, NULL),
                   (:code, 1, '2026-05-01T07:00Z', '2026-05-01T07:00:01Z', 'later', 503, 'try later', 997)
        """),
        {"event": event, "person": ann.person_id, "channel": UUID(channel["id"]), "code": code.id},
    )
    address = f"/me/channels/{channel['id']}/deliveries"
    answer = await ann.get(address)
    assert answer.status_code == 200, answer.text
    told, first = answer.json()["items"]
    assert (told["purpose"], told["kind"], told["message_id"]) == ("notification", "invitation", str(code.id))
    assert (told["state"], told["reason"], told["outcome_unknown"]) == ("dead", "tries", False)
    [notification] = kept.rows("SELECT id FROM notifications")
    assert told["notification_id"] == str(notification.id)
    assert (first["id"], first["purpose"], first["kind"]) == (str(code.id), "code", None)
    assert first["attempts"] == told["attempts"]
    assert first["attempts"] == [
        {
            "number": 1,
            "started_at": "2026-05-01T07:00:00Z",
            "finished_at": "2026-05-01T07:00:01Z",
            "outcome": "later",
            "status": 503,
            "duration_ms": 997,
            "detail": "try later",
        },
        {
            "number": 3,
            "started_at": "2026-05-01T07:00:09Z",
            "finished_at": None,
            "outcome": None,
            "status": None,
            "duration_ms": None,
            "detail": None,
        },
    ]
    page = (await ann.get(f"{address}?limit=1")).json()
    assert page["items"] == [told]
    rest = (await ann.get(address, params={"cursor": page["next_cursor"]})).json()
    assert rest == {"items": [first], "next_cursor": None}


async def test_addresses_are_sealed_and_never_shown(
    ann: Person, make: Make, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in an answer, not in a log, not in the tables."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []

    async def listen(response: Any) -> None:
        said.append(await response.aread() and response.text)
        said.append(str(response.headers))

    hooks = ann.client.event_hooks
    ann.client.event_hooks = {"response": [*hooks["response"], listen]}
    with capture_logs() as logs:
        made = {kind: await make(kind) for kind in ADDRESSES}
        await ann.post("/me/channels", json=HOOK | {"url": "http://hooks.example.com/" + SECRET_PATH})
        for channel in made.values():
            for method, path in EVERY[:-1]:
                await ann.request(method, path.format(channel=channel["id"]), json=BODIES.get(path))
        await ann.get("/me/channels")
        await ann.get("/me/preferences")
    tables = [
        str(row) for row in kept.rows("SELECT c::text FROM channels c UNION ALL SELECT d::text FROM deliveries d")
    ]
    logged = [json.dumps(line, default=str) for line in logs] + [record.getMessage() for record in caplog.records]
    assert len(said) > 40
    assert len(logs) > 20
    for secret in ("ann.private", SECRET_PATH, "s3cr3t"):
        for where in (said, logged, tables):
            assert not [text for text in where if secret in text]
    secret = made["webhook"]["secret"]
    assert sum(secret in text for text in said) == 1, "in the answer that made it"
    assert not [text for text in logged + tables if secret in text]


async def test_an_address_whose_key_is_gone(ann: Person, make: Make, kept: Kept) -> None:
    """It can be seen for what it is, and deleted."""
    channel = await make("webhook")
    lost = Sealer(SecretStr("another key altogether, long enough")).seal({"url": "https://hooks.example.com"})
    kept.rows("UPDATE channels SET address = :lost RETURNING id", lost=lost)
    assert (await ann.get("/me/channels")).json()["items"][0]["hint"] is None
    assert (await ann.delete(f"/me/channels/{channel['id']}")).status_code == 204


class TestWithinANetwork:
    """Where settings let webhooks lead inside."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"outbound_networks": "127.0.0.0/8", "webhook_http": True})

    async def test_a_webhook_may_lead_there(self, ann: Person) -> None:
        made = await ann.post("/me/channels", json=HOOK | {"url": "http://127.0.0.1:8080/in?key=1"})
        assert (made.status_code, made.json()["hint"]) == (201, "http://127.0.0.1:8080")
