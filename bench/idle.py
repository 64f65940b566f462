"""The whole stack of `make up`, which nobody uses: what it keeps in memory, and what it does all the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from planner_local import ports
from planner_local.guard import tied
from planner_local.servers import free_port

from bench.rows import PLANNER, Goal, Row
from bench.stack import Plan
from tests.system import until

SETTLE_SECONDS = 20
MEMORY, PROCESSOR = 450, 3


def used(main: psutil.Process) -> tuple[float, float, dict[str, float]]:
    """Megabytes, each page shared out among those that have it; seconds of processor time; megabytes by program."""
    memory = seconds = 0.0
    by_program: dict[str, float] = {}
    for process in [main, *main.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            own = process.memory_full_info().pss / 1e6
            times = process.cpu_times()
            memory += own
            seconds += times.user + times.system
            command = process.cmdline()
            name = command[command.index("-m") + 1] if "-m" in command else process.name()
            by_program[name] = by_program.get(name, 0) + own
    return memory, seconds, by_program


def run(plan: Plan) -> Iterator[Row]:
    with TemporaryDirectory(prefix="planner-bench-") as name:
        folder = Path(name)
        environment = {"PATH": "/usr/bin:/bin", **{port: str(free_port()) for port in ports.USUAL}}
        log = folder / "log"
        with log.open("wb") as output:
            up = subprocess.Popen(
                tied([sys.executable, "-m", "planner_local", "up"], signal.SIGINT),
                env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            until(lambda: b"Planner is up" in log.read_bytes(), "the stack is up", 180)
            time.sleep(plan.size(SETTLE_SECONDS, 1))
            main = psutil.Process(up.pid)
            _, before, _ = used(main)
            started = time.monotonic()
            time.sleep(plan.size(60, 2))
            memory, after, by_program = used(main)
            processor = (after - before) / (time.monotonic() - started) * 100
        finally:
            os.killpg(up.pid, signal.SIGINT)  # as Ctrl-C does: the stack is a child of a process that guards it
            up.wait(120)
    note = ", ".join(f"{name} {own:.0f}" for name, own in sorted(by_program.items(), key=lambda item: -item[1]))
    yield Row("idle", "memory of all", "MB", {PLANNER: [memory]}, more=False, goals=[Goal(at_most=MEMORY)], note=note)
    yield Row("idle", "of a processor", "%", {PLANNER: [processor]}, more=False, goals=[Goal(at_most=PROCESSOR)])
