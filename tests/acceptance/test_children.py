"""Children of a worker that do nothing: replaced one by one, and if none is of use, the whole worker."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest
from planner_common.messages import Task
from planner_local.client import Person, connect
from planner_local.servers import free_port
from planner_local.supervisor import Service, Supervised
from planner_worker.app import app
from planner_worker.pool import STATUS, STUCK_SECONDS

from tests.system import System, until

pytestmark = pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system's processes are not ours")
SETTINGS = {"AUDIT_SECONDS": "0", "WATCHDOG_SECONDS": "20", "LOG_FORMAT": "json"}


@pytest.fixture
def system() -> Iterator[System]:
    with TemporaryDirectory(prefix="planner-test-") as folder, System(Path(folder), settings=SETTINGS) as system:
        yield system


@asynccontextmanager
async def load(system: System) -> AsyncIterator[None]:
    """Events with a guest are made, one after the other, until this ends. Then all were told, once."""
    async with connect(system.url) as http:
        ann = await Person(http, "ann@example.org", "Ann").register()

        async def go_on() -> None:
            while True:
                await ann.call("POST", "/events", json=DINNER)

        making = asyncio.create_task(go_on())
        try:
            yield
        finally:
            making.cancel()
            await asyncio.wait([making])
    assert await asyncio.to_thread(system.faults) == (0, 0, 0)
    with system.connect() as connection:
        assert connection.execute("SELECT count(*) FROM notifications").fetchone() != (0,)


def metric(system: System, name: str) -> float:
    port = psutil.Process(system.pid("worker")).environ()["WORKER_METRICS_PORT"]
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def replaced(system: System, frozen: list[psutil.Process]) -> None:
    def gone() -> bool:
        return not any(child.is_running() for child in frozen) and len(system.children("worker")) == 2

    await asyncio.to_thread(until, gone, "the frozen are gone, and others in their places", 6 * STUCK_SECONDS)


@pytest.mark.parametrize("number", [1, 2])
async def test_frozen_children_are_replaced_and_everyone_is_told(system: System, number: int) -> None:
    """Whatever they are given: none of them had begun."""
    frozen = system.children("worker")[:number]
    for child in frozen:
        child.suspend()
    async with load(system):
        await replaced(system, frozen)
    assert metric(system, "planner_worker_stuck_children_total") == number
    await asyncio.to_thread(until, lambda: metric(system, "planner_worker_children") == 2, "both take work")


async def test_a_child_that_is_frozen_at_work_is_ended_by_the_time_limit(system: System) -> None:
    """Which holds for a stopped process too. Here it is two seconds instead of a minute."""
    system.stop("dispatcher")
    async with connect(system.url) as http:
        ann = await Person(http, "ann@example.org", "Ann").register()
        await ann.call("POST", "/events", json=DINNER)
    with system.connect() as connection, system.connect() as blocker:
        blocker.execute("BEGIN; LOCK TABLE notifications")
        ids = [id_ for (id_,) in connection.execute("SELECT id FROM changes").fetchall()]
        with app.connection_for_write(system.valkey.url()) as broker:
            app.send_task(Task.FAN_OUT.value, (ids,), time_limit=2, ignore_result=True, connection=broker)
        await asyncio.to_thread(until, lambda: connection.execute(WAITING).fetchone() == (1,), "a child is at the task")
        frozen = system.children("worker")
        for child in frozen:
            child.suspend()
        await asyncio.to_thread(until, lambda: sum(child.is_running() for child in frozen) == 1, "the limit holds")
    assert metric(system, "planner_worker_stuck_children_total") == 0
    system.start("dispatcher")
    assert await asyncio.to_thread(system.faults) == (0, 0, 0)
    assert system.stop("worker") == 0, "the other, frozen and never given anything, does not keep it"
    assert "a child does not stop: killed" in system.log("worker"), "nor until all that is left is cut off"


BROKEN = """
import os, sys
from celery import signals
from planner_worker.__main__ import main

@signals.worker_process_init.connect
def die_if_there_is(**_signal):
    if os.path.exists({file!r}):
        os._exit(1)

main()
"""


async def test_a_pool_whose_children_all_die_ends_the_worker_which_is_started_again(system: System) -> None:
    """The children of the first one die, from some time on, as they begin; nothing is wrong with the second."""
    broken = system.folder / "broken"
    system.stop("worker")
    lines: list[str] = []
    command = [sys.executable, "-c", BROKEN.format(file=str(broken))]
    heartbeat = system.folder / "heartbeat"
    settings = {"HEARTBEAT_FILE": str(heartbeat), "WORKER_METRICS_PORT": str(free_port())}
    service = Service(command, {**system._environment(), **settings}, heartbeat=heartbeat)

    def write(_name: str, line: str) -> None:
        lines.append(line)
        if "starts again" in line:
            broken.unlink()

    worker = Supervised("worker", service, write)
    worker.start()
    try:
        await worker.until_ready()
        await asyncio.to_thread(until, lambda: any(' ready."' in line for line in lines), "its children are there")
        broken.touch()
        async with load(system):
            assert worker.pid is not None
            for child in psutil.Process(worker.pid).children():
                child.kill()
            await asyncio.to_thread(until, lambda: not broken.exists(), "the worker has ended", 90)
    finally:
        await worker.stop(40, asyncio.Event())
    assert f"ended with status {STATUS}; starts again in 0.2 s" in lines
    assert any("the pool of children is broken" in line for line in lines)


WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE application_name = 'planner-worker' AND wait_event_type = 'Lock'
"""
DINNER = {
    "title": "Dinner",
    "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
    "participants": [{"email": "ben@example.net"}],
}
