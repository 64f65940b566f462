import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from planner_local.servers import Postgres, Valkey, free_port, keep_secret, write_secret
from redis import Redis

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="planner-servers-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[Postgres]:
    with Postgres(folder / "postgres", free_port(), "secret", durable=False) as server:
        server.make_database("kept")
        server.make_database("kept")
        yield server


def names(server: Postgres) -> list[str]:
    with psycopg.connect(server.url("postgres")) as connection:
        return [row[0] for row in connection.execute("SELECT datname FROM pg_database")]


def test_a_killed_postgres_starts_on_its_data(postgres: Postgres) -> None:
    assert postgres.process
    postgres.process.kill()
    postgres.process.wait()
    postgres.start()
    assert "kept" in names(postgres)


def test_a_lock_file_whose_number_another_process_has_got_is_no_obstacle(postgres: Postgres) -> None:
    assert postgres.process
    postgres.process.kill()
    postgres.process.wait()
    lock = postgres.data / "postmaster.pid"
    lock.write_text(lock.read_text().replace(str(postgres.process.pid), str(os.getppid()), 1))
    postgres.start()
    assert "kept" in names(postgres)


def test_a_postgres_that_runs_keeps_its_lock(postgres: Postgres) -> None:
    before = (postgres.data / "postmaster.pid").read_text()
    postgres.prepare()
    assert (postgres.data / "postmaster.pid").read_text() == before


def test_an_interrupted_first_start_leaves_nothing_in_the_way(folder: Path, until: Until) -> None:
    script = f"""
from pathlib import Path
from planner_local.servers import Postgres
Postgres(Path("{folder}/interrupted"), 1, "x", durable=False).prepare()
"""
    new = folder / "interrupted.new"
    first = subprocess.Popen([sys.executable, "-c", script])
    until((new / "PG_VERSION").exists)
    initdb = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.wait()
    for process in initdb:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert not (folder / "interrupted").exists()
    server = Postgres(folder / "interrupted", free_port(), "x", durable=False)
    server.prepare()
    assert (server.data / "PG_VERSION").exists()
    assert not new.exists()
    assert not list(folder.glob("*password*"))


def test_a_server_ends_with_whoever_started_it(folder: Path, until: Until) -> None:
    script = f"""
import time
from pathlib import Path
from planner_local.servers import Valkey, free_port
print(Valkey(Path("{folder}/orphan"), free_port(), "x").start().process.pid, flush=True)
time.sleep(1000)
"""
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    valkey = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.communicate()
    until(lambda: not valkey.is_running() or valkey.status() == psutil.STATUS_ZOMBIE)


def test_valkey_keeps_what_it_was_told(folder: Path) -> None:
    server = Valkey(folder / "valkey", free_port(), "x").start()
    with Redis.from_url(server.url()) as client:
        client.set("kept", "1")
        client.execute_command("WAITAOF", 1, 0, 5000)
        assert server.process
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.start()
        assert client.get("kept") == b"1"
    server.stop()


def test_a_server_that_can_not_start_says_why(postgres: Postgres, folder: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Valkey did not start.*bind: Address already in use"):
        Valkey(folder / "no-port", postgres.port, "x").start()


def test_secrets_are_kept_and_for_their_owner_only(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        first = keep_secret(tmp_path / "secrets" / "key")
        write_secret(tmp_path / "secrets" / "url", "one")
        write_secret(tmp_path / "secrets" / "url", "two")
    finally:
        os.umask(old_mask)
    assert keep_secret(tmp_path / "secrets" / "key") == first
    assert len(first) > 32
    assert first != keep_secret(tmp_path / "secrets" / "other")
    assert (tmp_path / "secrets" / "url").read_text() == "two"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
