"""`planner keys rotate`: afterwards the first key alone opens everything."""

import os
import subprocess
from collections.abc import Iterable

import pytest
from planner_common.cli import keys
from planner_common.cli.keys import SEALED
from planner_common.sealing import Sealer, UnsealedError
from planner_common.settings import get_settings
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, text

from common.tests.domain import Domain
from common.tests.test_cli import PLANNER

OLD, NEW, FOREIGN = ("an old key, which is long enough to be one", "a new key " * 4, "a key of nobody " * 3)
COUNT = 3


def sealer(*given: str) -> Sealer:
    return Sealer(SecretStr(",".join(given)))


def rotate(database: str, *given: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATABASE_URL": database, "ENCRYPTION_KEYS": ",".join(given)}
    return subprocess.run([PLANNER, "keys", "rotate"], check=False, capture_output=True, text=True, env=environment)


def channel(connection: Connection, address: bytes) -> str:
    found = connection.scalar(
        text("""
            INSERT INTO channels (person_id, type, name, address)
            VALUES (uuidv7(), 'webhook', 'mine', :address) RETURNING id::text
        """),
        {"address": address},
    )
    assert isinstance(found, str)
    return found


@pytest.fixture
def sealed(domain: Domain) -> Connection:
    """Channels and kept answers, sealed with the old key, and a channel that was removed."""
    connection = domain.connection
    domain.event("ann@example.org")
    for number in range(COUNT):
        channel(connection, sealer(OLD).seal({"url": f"https://{number}.example.org"}))
        connection.execute(
            text("""
                INSERT INTO idempotency_keys (account_id, key, fingerprint, status, headers, body)
                SELECT id, :key, '', 201, '{}', :body FROM accounts
            """),
            {"key": f"key {number}", "body": sealer(OLD).seal_bytes(b"an answer")},
        )
    channel(connection, b"")
    return connection


def addresses(connection: Connection) -> Iterable[bytes]:
    return connection.execute(text("SELECT address FROM channels WHERE address <> '' ORDER BY id")).scalars()


def test_the_old_key_is_needed_no_more(sealed: Connection, database: str) -> None:
    done = rotate(database, NEW, OLD)
    assert done.returncode == 0, done
    assert f"channels: {COUNT} sealed" in done.stdout
    assert f"idempotency_keys: {COUNT} sealed" in done.stdout
    urls = [sealer(NEW).open(address)["url"] for address in addresses(sealed)]
    assert urls == [f"https://{number}.example.org" for number in range(COUNT)]
    bodies = sealed.execute(text("SELECT body FROM idempotency_keys")).scalars()
    assert {sealer(NEW).open_bytes(body) for body in bodies} == {b"an answer"}
    assert sealed.scalar(text("SELECT count(*) FROM channels WHERE address = ''")) == 1
    assert rotate(database, NEW).returncode == 0


def test_many_go_in_batches(
    sealed: Connection, worker_engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keys, "BATCH", 2)
    monkeypatch.setattr(keys, "connect", lambda: worker_engine)
    monkeypatch.setenv("ENCRYPTION_KEYS", f"{NEW},{OLD}")
    get_settings.cache_clear()
    keys.rotate()
    get_settings.cache_clear()
    assert f"idempotency_keys: {COUNT} sealed" in capsys.readouterr().out
    for address in addresses(sealed):
        sealer(NEW).open(address)


def test_what_none_of_the_keys_opens_is_named_and_stays(sealed: Connection, database: str) -> None:
    foreign = channel(sealed, sealer(FOREIGN).seal({"url": "https://example.org"}))
    done = rotate(database, NEW, OLD)
    assert done.returncode == 1
    assert f"channels {foreign}\n" in done.stdout
    assert "1 could be opened with none of the keys" in done.stderr
    *others, last = addresses(sealed)
    for address in others:
        sealer(NEW).open(address)
    assert sealer(FOREIGN).open(last) == {"url": "https://example.org"}
    with pytest.raises(UnsealedError):
        sealer(NEW, OLD).open(last)


def test_without_a_key(database: str) -> None:
    done = rotate(database)
    assert done.returncode != 0
    assert "ENCRYPTION_KEYS" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_sealed_column_is_rotated(sealed: Connection) -> None:
    """Columns of bytes are hashes or sealed."""
    columns = sealed.execute(
        text("""
            SELECT table_name::text, column_name::text FROM information_schema.columns
             WHERE data_type = 'bytea' AND table_schema = 'public' AND column_name NOT IN ('token_hash', 'fingerprint')
        """)
    )
    assert {tuple(row) for row in columns} == set(SEALED.items())
