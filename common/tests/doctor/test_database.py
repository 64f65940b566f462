import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest
from planner_common.doctor import Status, database
from planner_common.doctor import look as look_at_all
from planner_common.doctor.examination import SECONDS, examine
from planner_common.settings import Settings
from planner_local.servers import Postgres, free_port
from pydantic import SecretStr
from sqlalchemy import Connection

from common.tests.doctor.conftest import Fill, Look
from tests.system import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """As it is run in production, which the suite's own is not."""
    with Postgres(tmp_path_factory.mktemp("doctor") / "postgres", free_port(), "test") as server:
        server.make_database()
        yield server


@pytest.fixture
def admin(server: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        yield connection


def reload(admin: psycopg.Connection, statement: str, name: str, value: str) -> None:
    """Set something for the whole server, and see that it is in force."""
    admin.execute(statement)
    admin.execute("SELECT pg_reload_conf()")

    def in_force() -> bool:
        return admin.execute("SELECT setting FROM pg_settings WHERE name = %s", [name]).fetchone() == (value,)

    until(in_force, f"{name} is {value}")


def test_a_database_as_it_should_be(look: Look, fill: Fill, server: Postgres) -> None:
    fill(50)
    for name in database.group.checks:
        if name.startswith("database") or name in {"vacuum", "transaction ids", "old transactions"}:
            finding = look(name, database_url=server.url())
            assert (finding.status, finding.advice) == (Status.OK, ""), finding
    assert "PostgreSQL 18" in look("database", database_url=server.url()).found
    assert f"free at {server.data}" in look("database size", database_url=server.url()).found


def test_one_that_is_away_leaves_the_rest_unknown(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": SecretStr(f"postgresql://a:secret@127.0.0.1:{free_port()}/b")})
    first, *rest = examine(away, [database.group])
    assert first.check == "database"
    assert first.status is Status.FAILED
    assert "DATABASE_URL" in first.advice
    assert {finding.status for finding in rest} == {Status.UNKNOWN}
    assert len(rest) == len(database.group.checks) - 1
    assert "secret" not in str([first, *rest])


def test_one_that_is_frozen_ends_in_time(settings: Settings, tmp_path: Path) -> None:
    """And Redis and the rest are looked at all the same."""
    with Postgres(tmp_path / "postgres", free_port(), "test", durable=False) as server:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            frozen = settings.model_copy(update={"database_url": SecretStr(server.url("postgres"))})
            findings = {finding.check: finding for finding in look_at_all(frozen)}
            assert time.monotonic() - began < SECONDS + 10
        finally:
            server.process.send_signal(signal.SIGCONT)
    assert findings["database"].status is Status.FAILED
    assert findings["schema"].status is Status.UNKNOWN
    assert findings["redis broker"].status is Status.OK


def test_what_hangs_in_the_middle_is_named(
    settings: Settings, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.process is not None
    everyone = psutil.Process(server.process.pid)

    def freeze(asked: database.Asked) -> database.Verdict:
        for process in (everyone, *everyone.children()):
            process.suspend()
        return database.clock(asked)

    monkeypatch.setitem(database.group.checks, "database clock", freeze)
    own = settings.model_copy(update={"database_url": SecretStr(server.url())})
    try:
        first, second, *rest = examine(own, [database.group], seconds=3)
    finally:
        for process in (everyone, *everyone.children()):
            process.resume()
    assert first.status is Status.OK
    assert (second.check, second.status, second.found) == ("database clock", Status.FAILED, "no answer within 3 s")
    assert {finding.status for finding in rest} == {Status.UNKNOWN}


def test_one_that_takes_no_writes(look: Look, server: Postgres, admin: psycopg.Connection) -> None:
    admin.execute("ALTER DATABASE planner SET default_transaction_read_only = on")
    try:
        finding = look("database", database_url=server.url())
    finally:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute("ALTER DATABASE planner RESET default_transaction_read_only")
    assert finding.status is Status.FAILED
    assert "takes no writes" in finding.found


def test_what_would_not_survive_a_crash(look: Look) -> None:
    """The suite's own server is such a one."""
    finding = look("database durability")
    assert finding.status is Status.FAILED
    assert finding.advice == "set fsync, full_page_writes, synchronous_commit to on and reload"


def test_clocks_that_are_apart(look: Look, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CLOCK_WARNS", 0)
    assert look("database clock", database_url=server.url()).status is Status.WARNING
    monkeypatch.setattr(database, "CLOCK_FAILS", 0)
    assert look("database clock", database_url=server.url()).status is Status.FAILED


def test_many_connections(look: Look, server: Postgres) -> None:
    with ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(psycopg.connect(server.url()))
        finding = look("database connections", database_url=server.url())
        assert finding.status is Status.WARNING
        assert "max_connections" in finding.advice
        for _ in range(14):
            stack.enter_context(psycopg.connect(server.url()))
        assert look("database connections", database_url=server.url()).status is Status.FAILED


def test_a_disk_that_is_nearly_full(look: Look, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "DISK_WARNS", 0)
    assert look("database size", database_url=server.url()).status is Status.WARNING
    monkeypatch.setattr(database, "DISK_FAILS", 0)
    assert look("database size", database_url=server.url()).status is Status.FAILED
    assert look("disk").status is Status.FAILED


def test_no_autovacuum(look: Look, server: Postgres, admin: psycopg.Connection) -> None:
    reload(admin, "ALTER SYSTEM SET autovacuum = off", "autovacuum", "off")
    try:
        assert look("vacuum", database_url=server.url()).status is Status.FAILED
    finally:
        reload(admin, "ALTER SYSTEM RESET autovacuum", "autovacuum", "on")


def test_more_dead_rows_than_living(look: Look, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "DEAD_ROWS", 5)
    connection.exec_driver_sql("ALTER TABLE reach SET (autovacuum_enabled = false)")
    connection.exec_driver_sql(
        "INSERT INTO reach (actor, hour, people) SELECT uuidv7(), now(), 1 FROM generate_series(1, 10)"
    )
    connection.exec_driver_sql("DELETE FROM reach")
    connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    try:
        finding = look("vacuum")
    finally:
        connection.exec_driver_sql("ALTER TABLE reach RESET (autovacuum_enabled)")
        connection.exec_driver_sql("TRUNCATE reach")
    assert finding.status is Status.WARNING
    assert "reach" in finding.found


def test_old_transaction_ids(look: Look, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "XID_WARNS", 1)
    assert look("transaction ids", database_url=server.url()).status is Status.WARNING
    monkeypatch.setattr(database, "XID_FAILS", 2)
    assert look("transaction ids", database_url=server.url()).status is Status.FAILED


def test_a_transaction_that_idles(look: Look, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(server.url(), application_name="somebody's shell") as shell:
        shell.execute("SELECT 1")
        assert look("old transactions", database_url=server.url()).status is Status.OK
        monkeypatch.setattr(database, "IDLE_SECONDS", 0)
        finding = look("old transactions", database_url=server.url())
    assert finding.status is Status.WARNING
    assert "idle in transaction: somebody's shell" in finding.found
    assert "pg_terminate_backend" in finding.advice


def test_a_transaction_that_works_for_long(look: Look, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LONG_SECONDS", 0)
    with psycopg.connect(server.url()) as shell:
        shell.execute("SELECT 1")
        assert look("old transactions", database_url=server.url()).status is Status.WARNING
