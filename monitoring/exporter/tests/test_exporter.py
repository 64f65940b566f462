"""Unknown is not zero: what cannot be measured fails the scrape (I8)."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
from planner_common import schema
from planner_common.database import make_engine
from planner_common.settings import Settings
from planner_common.vitals import HEAD
from planner_exporter.__main__ import TIMEOUT, Exporter
from planner_local.servers import Postgres, Valkey, free_port
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, make_url
from structlog.testing import capture_logs

from tests.system import until


def failure(url: str) -> str:
    answer = httpx.get(f"{url}/metrics", trust_env=False, timeout=30)
    assert answer.status_code == 500
    assert "planner_" not in answer.text
    return answer.text


def test_redis_stopped(scrape: Callable[[], dict[str, float]], url: str, valkey: Valkey) -> None:
    scrape()
    valkey.stop()
    try:
        assert "not measured: Redis: ConnectionError" in failure(url)
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    finally:
        valkey.start()
    scrape()


def test_redis_frozen(scrape: Callable[[], dict[str, float]], url: str, valkey: Valkey) -> None:
    scrape()
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert "Redis: " in failure(url)
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        assert time.monotonic() - began < TIMEOUT * 5
    finally:
        valkey.process.send_signal(signal.SIGCONT)
    until(lambda: httpx.get(f"{url}/metrics", trust_env=False, timeout=30).is_success, "it measures again")


def test_postgresql_does_not_answer(
    scrape: Callable[[], dict[str, float]], url: str, worker_engine: Engine, database: str
) -> None:
    scrape()
    with capture_logs() as logs:
        with worker_engine.begin() as blocker:
            blocker.exec_driver_sql("LOCK TABLE changes")
            assert "PostgreSQL: " in failure(url)
            failure(url)
        until(lambda: httpx.get(f"{url}/metrics", trust_env=False, timeout=30).is_success, "it measures again")
    assert [entry["event"] for entry in logs] == ["cannot measure", "measuring again"]


def refused(settings: Settings) -> str:
    """Why such an exporter measures nothing."""
    exporter = Exporter(settings)
    status, _, body = exporter.answer("/metrics")
    exporter.thread.shutdown()
    exporter.redis.close()
    exporter.session.close()
    assert status.startswith("500")
    assert b"planner_" not in body
    assert b"secret" not in body
    return body.decode()


def test_postgresql_is_away(settings: Settings) -> None:
    nowhere = f"postgresql://planner:secret@127.0.0.1:{free_port()}/planner"
    assert "PostgreSQL: OperationalError: connection failed" in refused(
        settings.model_copy(update={"database_url": SecretStr(nowhere)})
    )


def test_a_wrong_password(settings: Settings) -> None:
    for setting, complaint in (
        ("database_url", "PostgreSQL: OperationalError: .*password authentication failed"),
        ("redis_url", "Redis: AuthenticationError: invalid username-password pair"),
    ):
        url = make_url(getattr(settings, setting).get_secret_value()).set(password="secret")
        wrong = SecretStr(url.render_as_string(hide_password=False))
        assert re.search(complaint, refused(settings.model_copy(update={setting: wrong})))


def test_postgresql_stopped_frozen_and_back(tmp_path: Path, settings: Settings, valkey: Valkey) -> None:
    with Postgres(tmp_path / "postgres", free_port(), "secret", durable=False) as server:
        own = settings.model_copy(update={"database_url": SecretStr(server.url("postgres"))})
        engine = make_engine(own, "tests")
        with engine.begin() as connection:
            schema.migrate(connection)
        engine.dispose()
        exporter = Exporter(own)

        def answers() -> bool:
            return exporter.answer("/metrics")[0] == "200 OK"

        assert answers()
        server.stop()
        assert exporter.answer("/metrics")[2].startswith(b"not measured: PostgreSQL: OperationalError: ")
        server.start()
        until(answers, "it measures again")
        assert server.process is not None
        everyone = [server_process := psutil.Process(server.process.pid), *server_process.children()]
        for process in everyone:
            process.suspend()
        try:
            assert exporter.answer("/metrics")[2] == b"not measured: PostgreSQL: no answer within 2 s\n"
        finally:
            for process in everyone:
                process.resume()
        until(answers, "it measures again")
        exporter.thread.shutdown()
        exporter.redis.close()
        exporter.session.close()


def test_a_missing_table_and_why(scrape: Callable[[], dict[str, float]], url: str, connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE processes RENAME TO hidden")
    try:
        assert 'PostgreSQL: UndefinedTable: relation "processes" does not exist' in failure(url)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
        assert f"PostgreSQL, at version 0002 where this code needs {HEAD}: Undefined" in failure(url)
    finally:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{HEAD}'")
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO processes")
    scrape()


def test_a_lost_connection_is_made_anew(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    scrape()
    ended = connection.exec_driver_sql("""
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = 'planner-exporter' AND datname = current_database()
    """)
    assert ended.scalar() == 1
    scrape()


def test_there_is_nothing_else(url: str) -> None:
    assert httpx.get(f"{url}/", trust_env=False).status_code == 404


def test_it_runs_as_a_process_and_says_which_port_is_taken(settings: Settings) -> None:
    port = free_port()
    environment = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "EXPORTER_PORT": str(port),
    }
    command = [sys.executable, "-m", "planner_exporter"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert b"ready" in process.stdout.readline()
            assert "planner_queue_depth" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert second.returncode == 1
    assert f"EXPORTER_PORT {port}: Address already in use" in second.stderr
