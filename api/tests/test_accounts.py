"""Accounts, sessions and personal tokens."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import jwt
import pytest
from fastapi import FastAPI
from jwt.warnings import InsecureKeyLengthWarning
from planner_api.tokens import AUDIENCE, ISSUER
from planner_common.people import person_id
from planner_common.settings import Settings
from planner_common.tokens import PERSONAL_PREFIX, looks_genuine
from pwdlib import PasswordHash
from sqlalchemy import Connection, Engine, text

from .conftest import PASSWORD, Person, Register, until

REGISTRATION = {"email": "Ann.O'Neil@Example.ORG", "password": PASSWORD, "name": "  Ann O'Neil "}


async def log_in(client: httpx.AsyncClient, username: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/api/v1/auth/token", data={"username": username, "password": password})


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def test_register_and_see_oneself(client: httpx.AsyncClient, connection: Connection) -> None:
    created = await client.post("/api/v1/auth/register", json=REGISTRATION)
    assert created.status_code == 201
    account = created.json()
    assert (
        account.items()
        >= {
            "email": "ann.o'neil@example.org",
            "name": "Ann O'Neil",
            "time_zone": "UTC",
            "locale": "en",
        }.items()
    )
    assert account["created_at"].endswith("Z")
    row = connection.execute(text("SELECT * FROM accounts")).one()
    assert (row.id, row.person_id) == (UUID(account["id"]), person_id("ann.o'neil@example.org"))
    assert PASSWORD not in row.password_hash
    session = (await log_in(client, "ANN.o'neil@example.org ")).json()
    assert set(session) == {"access_token", "token_type", "expires_in", "refresh_token"}
    me = await client.get(created.headers["location"], headers={"Authorization": f"bearer {session['access_token']}"})
    assert me.json() == account


async def test_an_address_has_one_account(client: httpx.AsyncClient, connection: Connection) -> None:
    assert (await client.post("/api/v1/auth/register", json=REGISTRATION)).status_code == 201
    again = REGISTRATION | {"email": "ann.o'neil@example.org", "name": "Mallory"}
    taken = await client.post("/api/v1/auth/register", json=again)
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/account-exists")
    assert connection.execute(text("SELECT name FROM accounts")).scalars().all() == ["Ann O'Neil"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ann"),
        ("email", "ann@"),
        ("email", "ann@example..org"),
        ("email", "a" * 65 + "@example.org"),
        ("email", "ann@example.org\nBcc: all@example.org"),
        ("password", "1234567"),
        ("password", "x" * 129),
        ("name", ""),
        ("name", "x" * 201),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../etc/passwd"),
        ("time_zone", "localtime"),
        ("locale", "klingon!"),
        ("locale", "de_DE"),
        ("admin", True),
    ],
)
async def test_a_bad_registration_says_where(
    client: httpx.AsyncClient, connection: Connection, field: str, value: object
) -> None:
    answer = await client.post("/api/v1/auth/register", json=REGISTRATION | {field: value})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{field}"]
    assert connection.execute(text("SELECT count(*) FROM accounts")).scalar_one() == 0


@pytest.mark.parametrize("email", ["jürgen@bücher.example", "ann+planner@mail.corp.local", '"a b"@example.org'])
async def test_unusual_addresses_are_addresses(client: httpx.AsyncClient, email: str) -> None:
    answer = await client.post("/api/v1/auth/register", json=REGISTRATION | {"email": email})
    assert answer.status_code == (422 if email.startswith('"') else 201), answer.text


class TestClosed:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"registration": "closed"})

    async def test_registration_may_be_closed(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/api/v1/auth/register", json=REGISTRATION)).status_code == 403


@pytest.mark.parametrize("username", ["ann@example.org", "bob@example.org", "nobody", "", "a\0b@example.org"])
async def test_a_wrong_login_does_not_say_what_was_wrong(
    client: httpx.AsyncClient, register: Register, username: str
) -> None:
    await register("Ann")
    answer = await log_in(client, username, "wrong\0\ud83d password".encode("utf-8", "replace").decode())
    assert answer.status_code in {401, 422} if not username else answer.status_code == 401
    assert answer.headers.get("www-authenticate", "Bearer") == "Bearer"


async def test_an_old_hash_is_renewed_at_login(
    app: FastAPI, client: httpx.AsyncClient, register: Register, connection: Connection
) -> None:
    await register("Ann")
    strong = PasswordHash.recommended()
    app.state.passwords._hash = strong
    assert (await log_in(client, "ann@example.org")).status_code == 200
    renewed = connection.execute(text("SELECT password_hash FROM accounts")).scalar_one()
    assert strong.verify_and_update(PASSWORD, renewed) == (True, None)


async def test_refreshing_spends_the_token(client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("Ann")
    renewed = await refresh(client, ann.session["refresh_token"])
    assert renewed.status_code == 200
    assert renewed.json()["refresh_token"] != ann.session["refresh_token"]
    ann.session = renewed.json()
    assert (await ann.get("/me")).status_code == 200


async def test_reuse_of_a_spent_token_ends_the_family_and_only_it(
    client: httpx.AsyncClient, register: Register, connection: Connection
) -> None:
    ann = await register("Ann")
    other = (await log_in(client, ann.email)).json()
    second = (await refresh(client, ann.session["refresh_token"])).json()
    third = (await refresh(client, second["refresh_token"])).json()
    stolen = await refresh(client, ann.session["refresh_token"])
    assert (stolen.status_code, stolen.headers["www-authenticate"]) == (401, "Bearer")
    assert connection.execute(text("SELECT count(*) FROM refresh_tokens")).scalar_one() == 1
    assert (await refresh(client, third["refresh_token"])).status_code == 401
    assert (await refresh(client, other["refresh_token"])).status_code == 200


async def test_a_token_spent_twice_at_once_is_spent_once(
    client: httpx.AsyncClient, register: Register, connection: Connection, worker_engine: Engine
) -> None:
    ann = await register("Ann")
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with worker_engine.begin() as holder:
        holder.execute(text("SELECT FROM refresh_tokens FOR UPDATE"))
        asked = [asyncio.create_task(refresh(client, ann.session["refresh_token"])) for _ in range(3)]
        await until(lambda: connection.execute(waiting).scalar_one() == len(asked))  # all are in the middle of it
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    assert connection.execute(text("SELECT count(*) FROM refresh_tokens")).scalar_one() == 0, "reused: the family ends"


async def test_an_expired_refresh_token_is_refused(
    client: httpx.AsyncClient, register: Register, connection: Connection
) -> None:
    ann = await register("Ann")
    connection.execute(text("UPDATE refresh_tokens SET expires_at = now()"))
    assert (await refresh(client, ann.session["refresh_token"])).status_code == 401


@pytest.mark.parametrize("token", ["", "nonsense", "planner_rt_nonsense", "\ud7ff" * 50])
async def test_what_is_no_refresh_token_is_refused(client: httpx.AsyncClient, token: str) -> None:
    assert (await refresh(client, token)).status_code == 401


async def test_logging_out_ends_the_family(
    client: httpx.AsyncClient, register: Register, connection: Connection
) -> None:
    ann = await register("Ann")
    second = (await refresh(client, ann.session["refresh_token"])).json()
    body = {"refresh_token": second["refresh_token"]}
    for _ in range(2):  # twice is harmless
        answer = await client.post("/api/v1/auth/logout", json=body)
        assert (answer.status_code, answer.content) == (204, b"")
    assert connection.execute(text("SELECT count(*) FROM refresh_tokens")).scalar_one() == 0
    assert (await refresh(client, second["refresh_token"])).status_code == 401


async def test_secrets_are_stored_as_hashes(register: Register, connection: Connection) -> None:
    ann = await register("Ann")
    made = await ann.post("/me/tokens", json={"name": "script", "scopes": ["read"]})
    stored = connection.execute(
        text("SELECT token_hash FROM refresh_tokens UNION SELECT token_hash FROM personal_tokens")
    )
    for row in stored:
        assert len(row.token_hash) == 32
    assert looks_genuine(made.json()["token"], PERSONAL_PREFIX)
    assert not looks_genuine(made.json()["token"][:-1] + "x", PERSONAL_PREFIX)


def forged(settings: Settings, ann: Person, key: str | None = None, algorithm: str = "HS256", **claims: object) -> str:
    now = datetime.now(UTC)
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(ann.account_id),
        "person": str(ann.person_id),
        "iat": now,
        "exp": now + timedelta(minutes=5),
    }
    assert settings.signing_key is not None
    merged = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(merged, settings.signing_key.get_secret_value() if key is None else key, algorithm)


async def test_only_our_own_access_tokens_are_good(
    client: httpx.AsyncClient, register: Register, settings: Settings
) -> None:
    ann = await register("Ann")

    async def status(token: str, scheme: str = "Bearer") -> int:
        answer = await client.get("/api/v1/me", headers={"Authorization": f"{scheme} {token}".encode("latin-1")})
        assert answer.status_code == 200 or answer.headers["www-authenticate"].startswith("Bearer")
        return answer.status_code

    assert await status(forged(settings, ann)) == 200
    past = datetime.now(UTC) - timedelta(seconds=1)
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    unsigned = header + "." + forged(settings, ann).split(".")[1] + "."
    with pytest.warns(InsecureKeyLengthWarning):
        other_algorithm = forged(settings, ann, algorithm="HS512")
    for token in (
        other_algorithm,
        forged(settings, ann, key="another key, which is also long enough for it"),
        forged(settings, ann, aud="another"),
        forged(settings, ann, iss="another"),
        forged(settings, ann, exp=past),
        forged(settings, ann, exp=None),
        forged(settings, ann, sub=None),
        forged(settings, ann, sub="nonsense"),
        forged(settings, ann, person="nonsense"),
        unsigned,
        "a.b.c",
        "\xff",
        "planner_pat_\xff",
    ):
        assert await status(token) == 401, token
    assert await status(forged(settings, ann), scheme="Basic") == 401
    assert await status("") == 401


async def test_an_access_token_that_was_good_expires(
    client: httpx.AsyncClient, register: Register, settings: Settings
) -> None:
    ann = await register("Ann")
    ends_soon = {"Authorization": f"Bearer {forged(settings, ann, exp=datetime.now(UTC) + timedelta(seconds=2))}"}
    assert (await client.get("/api/v1/me", headers=ends_soon)).status_code == 200

    async def refused() -> bool:
        return (await client.get("/api/v1/me", headers=ends_soon)).status_code == 401

    await until(refused)


async def test_the_token_of_an_account_that_is_gone(register: Register, connection: Connection) -> None:
    ann = await register("Ann")
    connection.execute(text("DELETE FROM accounts"))
    assert (await ann.get("/me")).status_code == 401
    assert (await ann.patch("/me", json={"name": "Anna"})).status_code == 401


async def test_changing_oneself(register: Register) -> None:
    ann = await register("Ann")
    changed = await ann.patch("/me", json={"time_zone": "Europe/Berlin", "locale": "pt-BR"})
    assert changed.status_code == 200
    assert changed.json().items() >= {"time_zone": "Europe/Berlin", "locale": "pt-BR", "name": "Ann"}.items()
    assert (await ann.patch("/me", json={})).json() == changed.json()
    assert (await ann.get("/me")).json() == changed.json()
    for body in ({"email": "bob@example.org"}, {"name": None}, {"time_zone": "CEST+1"}, {"name": ""}):
        assert (await ann.patch("/me", json=body)).status_code == 422, body


async def with_token(ann: Person, *scopes: str) -> Person:
    made = await ann.post("/me/tokens", json={"name": "script", "scopes": scopes})
    assert made.status_code == 201, made.text
    return Person(ann.client, ann.name, ann.email, ann.account_id, {"access_token": made.json()["token"]})


async def test_a_personal_token_does_what_its_scopes_say(register: Register) -> None:
    ann = await register("Ann")
    reader, writer = await with_token(ann, "read"), await with_token(ann, "write")
    assert (await reader.get("/me")).json()["id"] == str(ann.account_id)
    assert (await reader.patch("/me", json={"name": "Anna"})).status_code == 403
    assert (await writer.patch("/me", json={"name": "Anna"})).status_code == 200
    assert (await writer.get("/me")).status_code == 403


async def test_a_personal_token_manages_no_tokens(register: Register) -> None:
    ann = await register("Ann")
    both = await with_token(ann, "read", "write")
    token_id = (await ann.get("/me/tokens")).json()["items"][0]["id"]
    assert (await both.get("/me/tokens")).status_code == 403
    assert (await both.post("/me/tokens", json={"name": "more", "scopes": ["read"]})).status_code == 403
    assert (await both.delete(f"/me/tokens/{token_id}")).status_code == 403


async def test_tokens_are_listed_without_their_secret_and_end_at_once(register: Register) -> None:
    ann, bob = await register("Ann"), await register("Bob")
    script = await with_token(ann, "read")
    assert (await script.get("/me")).status_code == 200
    listed = (await ann.get("/me/tokens")).json()
    assert listed["next_cursor"] is None
    [token] = listed["items"]
    assert set(token) == {"id", "name", "scopes", "expires_at", "last_used_at", "created_at"}
    assert token["last_used_at"] is not None
    assert (await bob.get("/me/tokens")).json()["items"] == []
    assert (await bob.delete(f"/me/tokens/{token['id']}")).status_code == 404
    assert (await ann.delete(f"/me/tokens/{token['id']}")).status_code == 204
    assert (await ann.delete(f"/me/tokens/{token['id']}")).status_code == 404
    assert (await script.get("/me")).status_code == 401


async def test_tokens_come_in_pages(register: Register) -> None:
    ann = await register("Ann")
    for number in range(5):
        await ann.post("/me/tokens", json={"name": f"token {number}", "scopes": ["read"]})
    names, cursor = [], None
    while True:
        page = (await ann.get("/me/tokens", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        names += [token["name"] for token in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert names == [f"token {number}" for number in range(5)]
    for cursor in ("nonsense", "W10", "WzFd", "bnVsbA", "eyJhIjoxfQ", "é"):
        assert (await ann.get("/me/tokens", params={"cursor": cursor})).status_code == 422, cursor


async def test_a_token_may_expire(register: Register, connection: Connection) -> None:
    ann = await register("Ann")
    body = {"name": "script", "scopes": ["read"], "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    made = await ann.post("/me/tokens", json=body)
    assert made.status_code == 201
    authorization = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await ann.get("/me", headers=authorization)).status_code == 200
    connection.execute(text("UPDATE personal_tokens SET expires_at = now()"))
    assert (await ann.get("/me", headers=authorization)).status_code == 401
    for expires_at in ("2020-01-01T00:00:00Z", "2030-01-01T00:00:00", "tomorrow"):
        refused = await ann.post("/me/tokens", json=body | {"expires_at": expires_at})
        assert refused.status_code == 422, expires_at
    assert len((await ann.get("/me/tokens")).json()["items"]) == 1
