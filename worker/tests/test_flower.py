"""A real Flower: what is behind its login and what is not, what it remembers, what it never does."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from flower.urls import handlers
from planner_common.messages import Queue, Task
from planner_local.guard import tied
from planner_local.servers import Valkey, free_port
from planner_worker.app import app
from planner_worker.flower import MAX_TASKS

from tests.system import answers, until

PASSWORD = "a password for Flower"
START_SECONDS = 60

Start = Callable[..., Any]


class Flower(httpx.Client):
    """Flower's pages, with the login; `inside` is where its metrics and its health are."""

    def __init__(self, folder: Path, environment: dict[str, str], **settings: object) -> None:
        self.folder = folder
        port, inside = free_port(), free_port()
        self.inside = f"http://127.0.0.1:{inside}"
        told = {"FLOWER_PASSWORD": PASSWORD, "FLOWER_PORT": port, "FLOWER_METRICS_PORT": inside, **settings}
        super().__init__(
            base_url=f"http://127.0.0.1:{port}", auth=("planner", PASSWORD), trust_env=False, timeout=START_SECONDS
        )
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", "planner_worker.flower"], signal.SIGKILL),
                env=os.environ | environment | {name: str(value) for name, value in told.items()},
                stdout=log,
                stderr=log,
            )
        until(lambda: answers(f"{self.inside}/healthz"), "Flower is ready")

    @property
    def output(self) -> Path:
        return self.folder / "flower.log"

    def metrics(self) -> str:
        return httpx.get(f"{self.inside}/metrics", trust_env=False).text

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(START_SECONDS)
        finally:
            self.process.kill()


@contextmanager
def running(folder: Path, environment: dict[str, str], **settings: object) -> Iterator[Flower]:
    flower = Flower(folder, environment, **settings)
    try:
        with flower:
            yield flower
    finally:
        status = flower.stop()
    assert status == 0, flower.output.read_text()


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Flower]:
    with running(tmp_path_factory.mktemp("flower"), environment) as flower:
        yield flower


@pytest.fixture
def happen(valkey: Valkey) -> Callable[..., None]:
    """Sends the events that a worker would send of a task."""

    def happen(uuid: str, *types: str, **fields: object) -> None:
        with app.connection_for_write(valkey.url()) as connection:
            events = app.events.Dispatcher(connection, hostname="worker@test")
            for kind in types:
                events.send(kind, uuid=uuid, name=Task.FAN_OUT.value, args="([12],)", kwargs="{}", **fields)

    return happen


def paths() -> list[str]:
    """An address of each of Flower's routes."""
    found = []
    for handler in handlers:
        pattern = handler[0] if isinstance(handler, tuple) else handler.regex.pattern
        found.append(re.sub(r"\(\.[+*]\)", "x", pattern).removesuffix("$").removesuffix("/?"))
    return [path for path in found if path.startswith("/")]


def test_nothing_is_shown_without_the_login(flower: Flower) -> None:
    open_to_all = {"/healthcheck", "/login", "/logout", "/static/x"}
    asked = set(paths()) - open_to_all
    assert {"/metrics", "/tasks", "/api/workers"} < asked
    for path in sorted(asked):
        for method in ("GET", "POST"):
            for login in (None, ("planner", "another")):
                assert flower.request(method, path, auth=login).status_code in (401, 405), path
    assert PASSWORD not in " ".join(psutil.Process(flower.process.pid).cmdline())
    assert PASSWORD not in flower.output.read_text()


def test_nothing_can_be_done_unless_it_is_turned_on(flower: Flower) -> None:
    dangerous = [path for path in paths() if "/api/worker/" in path or "/api/task/" in path]
    assert len(dangerous) > 10
    for path in dangerous:
        assert flower.post(path).status_code in (403, 405), path


def test_metrics_are_on_the_inside_and_its_own_only(flower: Flower, happen: Callable[..., None]) -> None:
    assert flower.get("/metrics").status_code == 404

    def counted() -> bool:
        happen("a", "task-received", "task-started", "task-succeeded", runtime=0.1)
        return 'flower_events_total{task="planner.fan_out",type="task-succeeded"' in flower.metrics()

    until(counted, "the task is counted")
    assert "planner_" not in re.sub(r'"[^"]*"', "", flower.metrics())
    assert "process_resident_memory_bytes" in flower.metrics()


def test_it_remembers_over_a_restart(tmp_path: Path, environment: dict[str, str], happen: Callable[..., None]) -> None:
    file = tmp_path / "state"

    with running(tmp_path, environment, FLOWER_FILE=file) as flower:

        def known() -> bool:
            happen("kept", "task-received", "task-started", "task-succeeded")
            return "kept" in flower.get("/api/tasks").json()

        until(known, "Flower knows the task")
    with running(tmp_path, environment, FLOWER_FILE=file) as flower:
        (task,) = flower.get("/api/tasks").json().values()
    assert (task["uuid"], task["name"], task["args"], task["state"]) == ("kept", Task.FAN_OUT, "([12],)", "SUCCESS")


def test_it_is_shown_below_a_prefix(tmp_path: Path, environment: dict[str, str]) -> None:
    with running(tmp_path, environment, FLOWER_PREFIX="ops/flower") as flower:
        page = flower.get("/ops/flower/broker")
        assert all(queue in page.text for queue in Queue)
        addresses = set(re.findall(r'(?:href|src)="(/[^"]*)"', page.text))
        assert addresses
        assert [address for address in addresses if not address.startswith("/ops/flower/")] == []
        assert all(flower.get(address).status_code == 200 for address in addresses if "/static/" in address)
        assert flower.get("/broker").status_code == 404
        assert flower.get("/ops/flower/metrics", auth=None).status_code == 401
        assert "flower_events_total" in flower.metrics()


def test_it_forgets_the_oldest(flower: Flower, valkey: Valkey) -> None:
    with app.connection_for_write(valkey.url()) as connection:
        many = app.events.Dispatcher(connection, hostname="worker@test", buffer_group={"task"}, buffer_limit=1000)
        for number in range(MAX_TASKS + 10):
            many.send("task-received", uuid=f"{number:05}", name=Task.PRUNE.value, args="()", kwargs="{}")
        many.flush()
    last = f"/api/task/info/{MAX_TASKS + 9:05}"
    until(lambda: flower.get(last).status_code == 200, "it knows the last")
    assert flower.get("/api/task/info/00000").status_code == 404
    assert len(flower.get("/api/tasks").json()) == MAX_TASKS


def test_it_needs_a_password(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "planner_worker.flower"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "FLOWER_PASSWORD" in done.stderr
