import os
import signal
import socket
import threading
import time
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from planner_common import presence as module
from planner_common.presence import STOP_SECONDS, Presence, tzdata_version
from planner_common.settings import Settings
from planner_local.servers import Postgres, free_port
from sqlalchemy import Connection, Row, text
from tzdata import IANA_VERSION

from tests.system import until


@pytest.fixture
def rows(connection: Connection) -> Callable[[], list[Row[Any]]]:
    statement = text("SELECT *, abs(extract(epoch FROM seen_at - clock)) AS off FROM processes ORDER BY id")
    return lambda: list(connection.execute(statement).all())


@pytest.fixture
def presence(settings: Settings) -> Iterator[Presence]:
    presence = Presence(settings, "worker", ["fan_out", "deliver"])
    yield presence
    if presence.thread.ident:
        presence.stop()


def test_a_process_is_there_from_its_start_to_its_stop(presence: Presence, rows: Callable[[], list[Row[Any]]]) -> None:
    presence.start()
    until(rows, "the row")
    (row,) = rows()
    assert (row.id, row.service) == (f"worker@{socket.gethostname()}:{os.getpid()}", "worker")
    assert row.queues == ["fan_out", "deliver"]
    assert row.tzdata == tzdata_version()
    assert row.started_at <= row.clock
    assert row.off < 5
    presence.stop()
    assert not rows()


def test_it_says_so_again_and_again(
    presence: Presence, rows: Callable[[], list[Row[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    presence.start()
    until(rows, "the row")
    (first,) = rows()
    until(lambda: rows()[0].seen_at > first.seen_at, "another beat")
    assert rows()[0].started_at == first.started_at


def test_who_has_taken_the_place_keeps_it(
    presence: Presence, settings: Settings, rows: Callable[[], list[Row[Any]]]
) -> None:
    presence.start()
    until(rows, "the row")
    (old,) = rows()
    successor = Presence(settings, "worker", id_=old.id)
    successor.start()
    until(lambda: rows()[0].started_at > old.started_at, "the successor's row")
    presence.stop()
    assert rows()
    successor.stop()
    assert not rows()


def test_an_outage_is_borne(
    settings: Settings, rows: Callable[[], list[Row[Any]]], connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a database that is away nor one without the table ends the thread."""
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    presence = Presence(settings, "api")
    url, presence.url = presence.url, f"postgresql://planner@127.0.0.1:{free_port()}/planner"
    tried = [0]
    say = presence.say

    def count(statement: str, *values: object) -> None:
        say(statement, *values)
        tried[0] += 1

    presence.say = count  # type: ignore[method-assign]
    presence.start()
    until(lambda: tried[0] > 1, "two beats without a database")
    connection.exec_driver_sql("ALTER TABLE processes RENAME TO hidden")
    try:
        presence.url = url
        before = tried[0]
        until(lambda: tried[0] > before + 1, "two beats without the table")
    finally:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO processes")
    until(rows, "the row")
    presence.stop()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12
def test_a_frozen_postgresql_keeps_nobody_from_stopping_or_forking(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres", free_port(), "test", durable=False) as server:
        presence = Presence(Settings(database_url=server.url("postgres")), "worker")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            presence.start()
            until(module.connecting.locked, "a beat is under way")
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            began = time.monotonic()
            presence.stop()
            assert time.monotonic() - began < STOP_SECONDS + 5
            assert presence.thread.is_alive()
        finally:
            server.process.send_signal(signal.SIGCONT)
        presence.thread.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_waits_for_a_beat() -> None:
    """So that the child inherits no connection, and no lock of those who make it."""
    module.connecting.acquire()
    threading.Timer(0.1, module.connecting.release).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if not module.connecting.locked() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not module.connecting.locked()


def test_which_zones_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(tmp_path),))
    assert tzdata_version() == f"{IANA_VERSION} (package)"
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe/Paris").touch()
    assert tzdata_version() == f"unknown ({tmp_path})"
    (tmp_path / "tzdata.zi").write_text("# version 2031z\n# This zic input file is in the public domain.\n")
    assert tzdata_version() == f"2031z ({tmp_path})"
