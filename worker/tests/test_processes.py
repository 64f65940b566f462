"""A real worker and a real Flower, as they are started in production, and what operators ask of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from planner_common.messages import Queue, Task
from planner_common.settings import Settings
from planner_local.guard import tied
from planner_local.servers import Valkey, free_port
from planner_worker.app import app
from redis import Redis
from sqlalchemy import Engine, text

from common.tests.domain import Domain
from tests.system import until
from worker.tests.test_flower import running

ANN, BOB = "ann@example.org", "bob@example.org"
CHILDREN = 2


class Process:
    """`python -m MODULE`, its log, and the ports it was given."""

    def __init__(self, module: str, folder: Path, environment: dict[str, str], **settings: Any) -> None:
        self.output = folder / f"{module}.log"
        self.heartbeat = folder / f"{module}.heartbeat"
        told = {
            "WORKER_PROCESSES": CHILDREN,
            "WORKER_METRICS_PORT": free_port(),
            "HEARTBEAT_FILE": self.heartbeat,
            **settings,
        }
        self.settings = {name: str(value) for name, value in told.items()}
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", module], signal.SIGKILL),
                env=os.environ | environment | self.settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]

    def says(self, event: str) -> bool:
        return any(event in entry["event"] for entry in self.log())

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def metric(self, sample: str) -> float:
        metrics = httpx.get(f"http://127.0.0.1:{self.settings['WORKER_METRICS_PORT']}/metrics", trust_env=False).text
        found = re.search(rf"^{re.escape(sample)} (\S+)$", metrics, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("worker")
    worker = Process("planner_worker", folder, environment, PROMETHEUS_MULTIPROC_DIR=folder / "metrics")
    try:
        until(lambda: worker.says("ready"), "the worker is ready")
        yield worker
    finally:
        assert worker.stop() == 0, worker.output.read_text()


@pytest.fixture
def send(settings: Settings, worker: Process) -> Callable[..., str]:
    """Hands changes to the worker, as the dispatcher does. Returns the task's id."""

    def send(*change_ids: int, request_ids: tuple[str, ...] = ()) -> str:
        headers = {"request_ids": list(request_ids)}
        task = app.send_task(Task.FAN_OUT.value, (list(change_ids),), headers=headers, ignore_result=True)
        return str(task.id)

    return send


def celery(environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [Path(sys.executable).with_name("celery"), "-A", "planner_worker.app", *arguments, "--json", "--timeout", "10"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout).values()
    return answer


def test_operators_get_the_answers_they_expect(
    worker: Process, domain: Domain, environment: dict[str, str], send: Callable[..., str], worker_engine: Engine
) -> None:
    event = domain.event(ANN, BOB)
    with ThreadPoolExecutor(3) as pool, worker_engine.begin() as blocker:
        # The three answers may take their time on a busy machine.
        blocker.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE notifications")
        task_id = send(event.creation)
        until(lambda: worker_waits(domain), "the task is blocked")
        asked = {what: pool.submit(celery, environment, "inspect", what) for what in ("active", "registered", "stats")}
        answers = {what: answer.result() for what, answer in asked.items()}
    (active,) = answers["active"]
    assert (active["id"], active["name"], active["args"]) == (task_id, Task.FAN_OUT, [[event.creation]])
    assert answers["registered"] == sorted(Task)
    assert answers["stats"]["pool"]["max-concurrency"] == CHILDREN
    assert answers["stats"]["prefetch_count"] == CHILDREN
    until(lambda: not domain.pending(), "the change is told")


def worker_waits(domain: Domain) -> bool:
    return bool(
        domain.connection.scalar(
            text("""
                SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'planner-worker' AND wait_event_type = 'Lock'
            """)
        )
    )


def test_a_task_logs_one_line_with_the_requests_that_caused_it(
    worker: Process, domain: Domain, send: Callable[..., str]
) -> None:
    event = domain.event(ANN, BOB)
    task_id = send(event.creation, request_ids=("request-1", "request-2"))

    def lines() -> list[dict[str, Any]]:
        return [entry for entry in worker.log() if entry.get("task_id") == task_id]

    until(lines, "the line of the task")
    (line,) = lines()
    assert line.items() >= {"event": "task done", "level": "info", "task": "planner.fan_out"}.items()
    assert line["request_ids"] == ["request-1", "request-2"]
    assert (line["changes"], line["notifications"]) == (1, 1)
    assert 0 < line["seconds"] < 60
    assert domain.told(event.creation) == [BOB]


def test_a_task_counts_how_late_it_began_and_whether_it_came_again(worker: Process, domain: Domain) -> None:
    task, late = Task.FAN_OUT.value, 'planner_task_lateness_seconds_sum{task="planner.fan_out"}'
    again = 'planner_task_redeliveries_total{task="planner.fan_out"}'
    before = worker.metric(late), worker.metric(again)
    for headers in ({"due": time.time() - 100, "again": False}, {"due": time.time() + 100, "again": True}, {}):
        app.send_task(task, ([domain.event(ANN, BOB).creation],), headers=headers, ignore_result=True)
    until(lambda: not domain.pending(), "the changes are told")
    assert 100 <= worker.metric(late) - before[0] < 150
    assert worker.metric(again) == before[1] + 1


def test_a_task_that_fails_says_so_in_one_line(worker: Process, domain: Domain, send: Callable[..., str]) -> None:
    event = domain.event(ANN, BOB)
    failed = worker.metric('planner_tasks_total{state="FAILURE",task="planner.fan_out"}')
    domain.connection.exec_driver_sql("ALTER TABLE notifications RENAME TO hidden")
    try:
        task_id = send(event.creation)
        until(lambda: worker.says("task failed"), "the line of the task")
    finally:
        domain.connection.exec_driver_sql("ALTER TABLE hidden RENAME TO notifications")
    (line,) = [entry for entry in worker.log() if entry["event"] == "task failed"]
    assert line["task_id"] == task_id
    assert line["change_ids"] == [event.creation]
    assert "UndefinedTable" in line["error"]
    assert "fan_out.py" in line["exception"]
    assert worker.metric('planner_tasks_total{state="FAILURE",task="planner.fan_out"}') == failed + 1
    send(event.creation)
    until(lambda: not domain.pending(), "the change is told")


def test_metrics_are_the_sum_of_all_children_the_dead_ones_too(
    worker: Process, domain: Domain, send: Callable[..., str]
) -> None:
    sample = 'planner_tasks_total{state="SUCCESS",task="planner.fan_out"}'
    before, notified = worker.metric(sample), worker.metric("planner_notifications_written_total")

    def work(number: int) -> None:
        for event in [domain.event(ANN, BOB) for _ in range(number)]:
            send(event.creation)
        until(lambda: not domain.pending(), "all are told")

    work(10)
    until(lambda: worker.metric(sample) == before + 10, "ten more tasks")
    for child in worker.children():
        child.kill()
    assert worker.metric(sample) == before + 10
    work(10)
    until(lambda: worker.metric(sample) == before + 20, "ten more, by new children")
    assert worker.metric("planner_notifications_written_total") == notified + 20
    # The new ones went on in the files of the old, which would otherwise grow in number for ever.
    files = Path(worker.settings["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db")
    assert {file.stem.rpartition("_")[2] for file in files} <= {"place0", "place1", "place2"}


def test_a_frozen_redis_does_not_stop_the_worker_for_good(
    worker: Process, domain: Domain, send: Callable[..., str], valkey: Valkey
) -> None:
    """Messages that can't be acknowledged would fill the prefetch window, and the worker would take no more."""
    events = [domain.event(ANN, BOB) for _ in range(CHILDREN)]
    for child in worker.children():
        child.suspend()
    try:
        for event in events:
            send(event.creation)
        with Redis.from_url(valkey.url()) as client:
            until(lambda: client.hlen("unacked") == CHILDREN, "the worker took them")
        assert valkey.process is not None
        valkey.process.send_signal(signal.SIGSTOP)
    finally:
        for child in worker.children():
            child.resume()
    try:
        until(lambda: worker.says("dependency away") or failed_acks(worker) == CHILDREN, "Redis is missed")
    finally:
        valkey.process.send_signal(signal.SIGCONT)
    more = [domain.event(ANN, BOB) for _ in range(2 * CHILDREN)]
    for event in more:
        send(event.creation)
    until(lambda: not domain.pending(), "all are told")


def failed_acks(worker: Process) -> int:
    return sum("Couldn't ack" in entry["event"] for entry in worker.log())


def test_a_worker_that_waits_for_redis_beats_and_stops_when_told(tmp_path: Path, environment: dict[str, str]) -> None:
    away = {**environment, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    worker = Process("planner_worker", tmp_path, away)
    try:
        until(lambda: worker.says("dependency away"), "the worker misses Redis")
        beat = worker.heartbeat.stat().st_mtime
        until(lambda: worker.heartbeat.stat().st_mtime > beat, "the heart goes on")
    finally:
        status = worker.stop()
    assert status == 0
    assert len([entry for entry in worker.log() if entry["event"] == "dependency away"]) == 1


def test_the_application_is_imported_without_any_settings() -> None:
    command = "import planner_worker.app, planner_worker.tasks.fan_out; print(planner_worker.app.app.main)"
    done = subprocess.run(
        [sys.executable, "-c", command], env={"API_PORT": "nonsense"}, capture_output=True, check=True
    )
    assert done.stdout == b"planner\n"


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="this system has no such limit on a process")
def test_a_redis_whose_disk_is_full_is_waited_for(
    worker: Process, valkey: Valkey, domain: Domain, send: Callable[..., str]
) -> None:
    """It answers, and refuses to write, which ends Celery's own worker."""
    assert valkey.process is not None
    process = psutil.Process(valkey.process.pid)
    _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    size = max(path.stat().st_size for path in Path(valkey.data).rglob("*.aof"))
    process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))
    try:
        until(lambda: worker.says("dependency away"), "the worker sees it")
        until(lambda: worker.heartbeat.stat().st_mtime > time.time() - 2, "it goes on turning")
        assert worker.process.poll() is None
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))
    event = domain.event(ANN, BOB)

    def sent() -> bool:
        with suppress(Exception):
            send(event.creation)
            return True
        return False

    until(sent, "Redis takes messages again")
    until(lambda: domain.told(event.creation), "the worker works")
    assert worker.process.poll() is None


def test_flower_shows_workers_queues_and_tasks_by_name(
    tmp_path: Path, environment: dict[str, str], worker: Process, domain: Domain, send: Callable[..., str]
) -> None:
    event = domain.event(ANN, BOB)
    with running(tmp_path, environment) as flower:

        def done() -> list[Any]:
            """Sent again and again, for it may not listen yet."""
            sent.append(send(event.creation))
            tasks = flower.get("/api/tasks").json()
            return [tasks[one] for one in sent if tasks.get(one, {}).get("state") == "SUCCESS"]

        sent: list[str] = []
        until(done, "Flower knows a task", every=0.5)
        task = done()[0]
        assert task["name"] == Task.FAN_OUT
        assert task["worker"].startswith("worker@")
        (queues,) = [found["active_queues"] for found in flower.get("/api/workers?refresh=1").json().values()]
        assert {queue["name"] for queue in queues} == set(Queue)
        assert {queue["name"] for queue in flower.get("/api/queues/length").json()["active_queues"]} == set(Queue)


def test_a_stopping_worker_finishes_its_task(
    tmp_path: Path, environment: dict[str, str], domain: Domain, valkey: Valkey, worker_engine: Engine
) -> None:
    of_its_own = valkey.url(5)  # so that no other worker takes the task
    worker = Process(
        "planner_worker", tmp_path, environment | {"CELERY_BROKER_URL": of_its_own}, WORKER_NAME="stopping@%h"
    )
    event = domain.event(ANN, BOB)
    try:
        until(lambda: worker.says("ready"), "the worker is ready")
        with worker_engine.begin() as blocker:
            blocker.exec_driver_sql("LOCK TABLE notifications")
            with app.connection_for_write(of_its_own) as broker:
                app.send_task(Task.FAN_OUT.value, ([event.creation],), ignore_result=True, connection=broker)
            until(lambda: worker_waits(domain), "the task is blocked")
            worker.process.terminate()
            until(lambda: worker.says("stopping"), "the worker is told to stop")
            assert domain.pending() == [event.creation]
    finally:
        assert worker.stop() == 0
    assert domain.told(event.creation) == [BOB]
