"""A request is one transaction, and its answer leaves after the commit (I1)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from planner_api.app import create_app
from planner_common.messages import Channel
from planner_common.settings import Settings
from planner_local.servers import free_port
from pydantic import SecretStr
from sqlalchemy import Connection, text

from .conftest import Register

TOKEN = {"name": "script", "scopes": ["read"]}


@contextmanager
def at_commit(connection: Connection, statement: str, table: str = "personal_tokens") -> Iterator[None]:
    """Have PostgreSQL run a statement in the commit of whoever adds a row to the table."""
    connection.execute(
        text(f"""
            CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NULL; END $$;
        """)
    )
    connection.execute(
        text(f"""
            CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION at_commit()
        """)
    )
    try:
        yield
    finally:
        connection.execute(text("DROP FUNCTION at_commit CASCADE"))


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("RAISE EXCEPTION 'refused at the last moment'", 500),
        ("PERFORM pg_terminate_backend(pg_backend_pid())", 503),
    ],
)
async def test_a_commit_that_fails_is_no_success_and_leaves_nothing(
    register: Register, connection: Connection, statement: str, status: int
) -> None:
    ann = await register("Ann")
    with at_commit(connection, statement):
        answer = await ann.post("/me/tokens", json=TOKEN)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "last moment" not in answer.text
    assert connection.execute(text("SELECT count(*) FROM personal_tokens")).scalar_one() == 0
    assert (await ann.post("/me/tokens", json=TOKEN)).status_code == 201, "the next request is served"


async def test_what_is_refused_is_rolled_back(register: Register, connection: Connection) -> None:
    ann = await register("Ann")
    refused = await ann.post("/me/tokens", json=TOKEN | {"expires_at": "2020-01-01T00:00:00Z"})
    assert refused.status_code == 422
    assert connection.execute(text("SELECT count(*) FROM personal_tokens")).scalar_one() == 0


async def test_connections_that_postgresql_closed_cost_no_request(register: Register, connection: Connection) -> None:
    """After a restart of PostgreSQL the pool is full of dead connections."""
    ann = await register("Ann")
    connection.execute(
        text("""
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'planner-api%'
        """)
    )
    for _ in range(3):  # turns of the event loop, which sees the sockets closed
        await asyncio.sleep(0)
    assert (await ann.get("/me")).status_code == 200
    assert (await ann.post("/me/tokens", json=TOKEN)).status_code == 201


class TestAway:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        nowhere = f"postgresql://planner@127.0.0.1:{free_port()}/planner"
        return settings.model_copy(update={"database_url": SecretStr(nowhere)})

    async def test_without_postgresql_requests_are_refused_for_now(self, client: httpx.AsyncClient) -> None:
        body = {"email": "ann@example.org", "password": "long enough", "name": "Ann"}
        answer = await client.post("/api/v1/auth/register", json=body)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"] == "/problems/unavailable"
        token = {"Authorization": "Bearer planner_pat_00000000"}
        assert (await client.get("/api/v1/me", headers=token)).status_code == 401, "that needs no database"
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["postgresql"])


async def test_no_free_connection_is_a_refusal_for_now(
    settings: Settings, register: Register, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await register("Ann")
    monkeypatch.setattr(app.state.engine.sync_engine.pool, "_timeout", 0.05)
    held = [await app.state.engine.connect() for _ in range(settings.database_pool)]
    try:
        answer = await ann.get("/me")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    finally:
        for connection in held:
            await connection.close()
    assert (await ann.get("/me")).status_code == 200


async def test_an_unmigrated_database_is_not_ready(client: httpx.AsyncClient, connection: Connection) -> None:
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "missing": [], "degraded": []})
    connection.execute(text("ALTER TABLE alembic_version RENAME TO elsewhere"))
    try:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["migrations"])
    finally:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO alembic_version"))


async def test_the_dispatcher_is_woken_after_a_commit_and_not_by_a_get(register: Register, database: str) -> None:
    ann = await register("Ann")
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute(f"LISTEN {Channel.CHANGES}")
        await ann.get("/me")
        await ann.get("/me/tokens")
        assert [note async for note in listener.notifies(timeout=0.1)] == []
        await ann.post("/me/tokens", json=TOKEN)
        assert len([note async for note in listener.notifies(timeout=10, stop_after=1)]) == 1


async def test_without_a_signing_key_there_is_no_application(settings: Settings) -> None:
    with pytest.raises(ValueError, match="SIGNING_KEY"):
        create_app(settings.model_copy(update={"signing_key": None}))
