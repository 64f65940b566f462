"""Unknown is not zero: what cannot be measured fails the scrape (I8)."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from wsgiref.simple_server import make_server

import httpx
import pytest
from planner_common.models import audits, deliveries
from planner_common.settings import Settings
from planner_exporter.__main__ import TIMEOUT, Exporter, QuietHandler
from planner_exporter.measure import COUNTED
from planner_local.servers import Valkey, free_port
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from sqlalchemy import Connection, Engine, text
from structlog.testing import capture_logs

from common.tests.domain import Domain
from tests.system import until


@pytest.fixture
def exporter(settings: Settings) -> Iterator[Exporter]:
    exporter = Exporter(settings)
    yield exporter
    exporter.thread.shutdown()
    exporter.redis.close()
    exporter.engine.dispose()


@pytest.fixture
def url(exporter: Exporter) -> Iterator[str]:
    with make_server("127.0.0.1", 0, exporter, ThreadingWSGIServer, QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def scrape(url: str) -> Callable[[], dict[str, float]]:
    """The samples by name and labels' values: `planner_queue_depth fan_out`."""

    def scrape() -> dict[str, float]:
        answer = httpx.get(f"{url}/metrics", trust_env=False, timeout=30)
        answer.raise_for_status()
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    return scrape


def failure(url: str) -> str:
    answer = httpx.get(f"{url}/metrics", trust_env=False, timeout=30)
    assert answer.status_code == 500
    assert "planner_" not in answer.text
    return answer.text


def test_nothing_waits(scrape: Callable[[], dict[str, float]]) -> None:
    """And no audit was made, of which there is nothing to say, not even 0."""
    lanes = ("deliver_urgent", "deliver", "deliver_bulk")
    assert scrape() == {
        **{f"planner_queue_depth {queue}": 0 for queue in (*lanes, "fan_out", "housekeeping")},
        "planner_queue_unacked": 0,
        **{f"planner_backlog {work}": 0 for work in (*lanes, "fan_out")},
        **{f"planner_backlog_oldest_seconds {work}": 0 for work in (*lanes, "fan_out")},
        "planner_changes_held": 0,
        "planner_changes_held_oldest_seconds": 0,
        "planner_deliveries_dead": 0,
        "planner_deliveries_outcome_unknown": 0,
    }


def test_messages_of_every_priority_are_counted(scrape: Callable[[], dict[str, float]], valkey: Valkey) -> None:
    with Redis.from_url(valkey.url()) as client:
        client.lpush("fan_out", "a", "b")
        for priority in (3, 6, 9):
            client.lpush(f"fan_out\x06\x16{priority}", "c")
        client.lpush("housekeeping", "d")
        client.hset("unacked", mapping={"e": "1", "f": "2"})
    samples = scrape()
    assert samples["planner_queue_depth fan_out"] == 5
    assert samples["planner_queue_depth housekeeping"] == 1
    assert samples["planner_queue_unacked"] == 2


def test_the_backlog_and_its_age(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    domain = Domain(connection)
    domain.event("ann@example.org")
    done, old = domain.event("ann@example.org"), domain.event("ann@example.org")
    connection.execute(text("UPDATE changes SET fanned_out_at = now() WHERE id = :id"), {"id": done.creation})
    connection.execute(text("UPDATE changes SET at = at - interval '1 hour' WHERE id <= :id"), {"id": old.creation})
    samples = scrape()
    assert samples["planner_backlog fan_out"] == 2
    assert 3600 <= samples["planner_backlog_oldest_seconds fan_out"] < 3720


def test_a_held_change_is_no_backlog_and_is_due_from_the_decision_on(
    scrape: Callable[[], dict[str, float]], connection: Connection
) -> None:
    Domain(connection).event("ann@example.org")
    connection.execute(text("UPDATE changes SET at = now() - interval '2 h', held_at = now() - interval '1 h'"))
    samples = scrape()
    assert samples["planner_backlog fan_out"] == 0
    assert samples["planner_changes_held"] == 1
    assert 3600 <= samples["planner_changes_held_oldest_seconds"] < 3720
    connection.execute(text("UPDATE changes SET held_at = NULL, decided_at = now()"))
    samples = scrape()
    assert samples["planner_changes_held"] == 0
    assert samples["planner_backlog fan_out"] == 1
    assert samples["planner_backlog_oldest_seconds fan_out"] < 120


def deliver(connection: Connection, **columns: object) -> None:
    """One delivery."""
    values = {"person_id": uuid4(), "channel_id": uuid4(), "type": "email", **columns}
    connection.execute(deliveries.insert().values(values))


def test_deliveries_that_are_due_by_lane(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    now = datetime.now(UTC)
    deliver(connection, lane=0, due_at=now - timedelta(hours=1))
    deliver(connection, lane=0, due_at=now - timedelta(hours=2), state="failed")
    deliver(connection, lane=0, due_at=now + timedelta(hours=1))
    deliver(connection, lane=1, due_at=now - timedelta(hours=3), lease_until=now + timedelta(hours=1), sending=True)
    deliver(connection, lane=2, due_at=now - timedelta(hours=4), state="sent", finished_at=now)
    samples = scrape()
    number = [samples[f"planner_backlog {work}"] for work in ("deliver_urgent", "deliver", "deliver_bulk")]
    hours = [samples[f"planner_backlog_oldest_seconds {work}"] // 3600 for work in ("deliver_urgent", "deliver")]
    assert number == [2, 1, 0]
    assert hours == [2, 3]
    assert samples["planner_backlog_oldest_seconds deliver_bulk"] == 0


def test_dead_ones_and_those_whose_outcome_is_unknown(
    scrape: Callable[[], dict[str, float]], connection: Connection
) -> None:
    now = datetime.now(UTC)
    deliver(connection, state="dead", finished_at=now)
    deliver(connection, state="dead", finished_at=now, outcome_unknown=True)
    deliver(connection, state="sent", finished_at=now, outcome_unknown=True)
    deliver(connection, state="sent", finished_at=now, outcome_unknown=True)
    samples = scrape()
    assert samples["planner_deliveries_dead"] == 2
    assert samples["planner_deliveries_outcome_unknown"] == 3


def test_only_so_many_are_counted(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    connection.execute(
        text("""
            INSERT INTO deliveries (person_id, channel_id, type, lane, due_at)
            SELECT uuidv7(), uuidv7(), 'email', 2, now() - make_interval(secs => number)
              FROM generate_series(1, :number) number
        """),
        {"number": COUNTED + 1_000},
    )
    samples = scrape()
    assert samples["planner_backlog deliver_bulk"] == COUNTED
    assert samples["planner_backlog_oldest_seconds deliver_bulk"] >= COUNTED + 1_000


def test_the_newest_audit(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    for minutes, violations in ((20, {"delivery_missing": 9}), (10, {"delivery_missing": 2, "change_stuck": 0})):
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        row = {"at": at, "since": at, "seconds": 1, "violations": violations, "information": {}}
        connection.execute(audits.insert().values(row))
    samples = scrape()
    assert samples["planner_audit_violations delivery_missing"] == 2
    assert samples["planner_audit_violations change_stuck"] == 0
    assert samples["planner_audit_age_seconds"] // 60 == 10


def test_redis_stopped(scrape: Callable[[], dict[str, float]], url: str, valkey: Valkey) -> None:
    scrape()
    valkey.stop()
    try:
        assert "Connection" in failure(url)
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
        failure(url)
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
            failure(url)
            failure(url)
        until(lambda: httpx.get(f"{url}/metrics", trust_env=False, timeout=30).is_success, "it measures again")
    assert [entry["event"] for entry in logs] == ["cannot measure", "measuring again"]


def test_postgresql_is_away(valkey: Valkey) -> None:
    nowhere = f"postgresql://planner:secret@127.0.0.1:{free_port()}/planner"
    exporter = Exporter(Settings(database_url=nowhere, redis_url=valkey.url()))
    status, _, body = exporter.answer("/metrics")
    exporter.thread.shutdown()
    exporter.redis.close()
    assert status.startswith("500")
    assert b"secret" not in body


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
