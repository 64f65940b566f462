"""Nobody is left behind, whoever is killed. Each test starts a tree of real processes and kills some of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

Until = Callable[[Callable[[], Any]], Any]
Marked = Callable[[], list[psutil.Process]]

# A guard, in it a supervisor with one tied child that has children of its own: one in its group, one in a session of
# its own, and one that ignores SIGTERM.
TREE = """
import asyncio, json, os, signal, sys
from pathlib import Path
from planner_local.guard import guarded
from planner_local.supervisor import Service, Supervised

folder = Path(sys.argv[1])
CHILD = "import signal, time; %s; time.sleep(1000)"
DEAF = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); open('{folder}/deaf', 'w')"
PARENT = f'''
import signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {CHILD % "0"!r}])
subprocess.Popen([sys.executable, "-c", {CHILD % "0"!r}], start_new_session=True)
subprocess.Popen([sys.executable, "-c", {CHILD % DEAF!r}])
print("complete", flush=True)
time.sleep(1000)
'''

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    def write(name, line):
        (folder / line).touch()
    service = Service([sys.executable, "-c", PARENT], {"MARK": str(folder)}, (folder / "complete").exists)
    process = Supervised("it", service, write)
    process.start()
    await process.until_ready()
    pids = {"guard": os.getppid(), "supervisor": os.getpid(), "child": process.pid}
    (folder / "pids.new").write_text(json.dumps(pids))
    (folder / "pids.new").rename(folder / "pids")
    await stop.wait()
    await process.stop(5, asyncio.Event())
    (folder / "in-order").touch()
    return 7

sys.exit(guarded(lambda: asyncio.run(main()), (folder / "cleaned-up").touch))
"""


@pytest.fixture
def tree(tmp_path: Path, until: Until, marked: Marked) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    guard = subprocess.Popen([sys.executable, "-c", TREE, str(tmp_path)], env={**os.environ, "MARK": str(tmp_path)})
    until((tmp_path / "pids").exists)
    until((tmp_path / "deaf").exists)
    until(lambda: len(marked()) == 6)
    yield guard, json.loads((tmp_path / "pids").read_text())
    for process in marked():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    guard.wait()


Tree = tuple[subprocess.Popen[bytes], dict[str, int]]


def test_the_supervisor_killed(tree: Tree, tmp_path: Path, until: Until, marked: Marked) -> None:
    guard, pids = tree
    os.kill(pids["supervisor"], signal.SIGKILL)
    assert guard.wait(30) == 128 + signal.SIGKILL
    assert marked() == []
    assert (tmp_path / "cleaned-up").exists()


def test_the_guard_killed(tree: Tree, tmp_path: Path, until: Until, marked: Marked) -> None:
    guard, _ = tree
    guard.kill()
    until((tmp_path / "in-order").exists)
    # Nobody adopts, in this one case, what made a session of its own: Planner's services don't.
    until(lambda: len(marked()) == 1)


def test_guard_and_supervisor_killed_at_once(tree: Tree, until: Until, marked: Marked) -> None:
    guard, pids = tree
    guard.send_signal(signal.SIGSTOP)
    os.kill(pids["supervisor"], signal.SIGKILL)
    guard.kill()
    until(lambda: pids["child"] not in [process.pid for process in marked()])


def test_told_to_stop(tree: Tree, tmp_path: Path, marked: Marked) -> None:
    guard, _ = tree
    guard.send_signal(signal.SIGINT)  # not for the guard: the terminal sends it to the supervisor too
    guard.terminate()
    assert guard.wait(30) == 7
    assert marked() == []
    assert (tmp_path / "in-order").exists()
    assert not (tmp_path / "cleaned-up").exists()
