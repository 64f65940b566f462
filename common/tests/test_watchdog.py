"""Real processes, since what a watchdog does is to end one."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from planner_common.watchdog import STATUS

SECONDS = 0.6
BEGIN = f"""
import asyncio, logging, sys, threading, time
from planner_common.logging import configure_logging
from planner_common.settings import Settings
from planner_common.watchdog import Watchdog

configure_logging(Settings(), "test")
dog = Watchdog("main loop", {SECONDS})

def stands_still():
    time.sleep(1000)
"""
TURNS = """
dog.start()
while True:
    dog.beat()
    print("turns", flush=True)
    time.sleep(0.05)
"""
STOPS = """
dog.start()
print("stops", flush=True)
stands_still()
"""
CANNOT_SPEAK = """
logging.getLogger().handlers[0].acquire()
dog.start()
stands_still()
"""
EVENT_LOOP = """
async def main():
    dog.start(asyncio.get_running_loop().call_soon_threadsafe)
    await asyncio.to_thread(sys.stdin.readline)
    print("stops", flush=True)
    stands_still()

asyncio.run(main())
"""


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", BEGIN + program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={}, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_whose_loop_stands_still_ends_and_says_where() -> None:
    with running(STOPS) as process:
        said, stacks = process.communicate(timeout=60)
    assert process.returncode == STATUS
    line = json.loads(said.splitlines()[-1])
    assert (line["level"], line["event"], line["loop"]) == ("critical", "a loop stands still", "main loop")
    assert "in stands_still" in stacks
    assert "in watch" in stacks, "the stack of each thread"


def test_a_loop_that_turns_is_left_alone_and_so_is_a_process_that_stood_still_as_a_whole() -> None:
    with running(TURNS) as process:
        assert process.stdout is not None
        for _ in range(2):
            process.send_signal(signal.SIGSTOP)
            time.sleep(2 * SECONDS)  # the time over which it must not be judged
            process.send_signal(signal.SIGCONT)
            for _ in range(int(2 * SECONDS / 0.05)):
                assert process.stdout.readline() == "turns\n"
        assert process.poll() is None


def test_it_ends_even_if_the_log_is_what_stands_still() -> None:
    with running(CANNOT_SPEAK) as process:
        _, stacks = process.communicate(timeout=60)
    assert process.returncode == STATUS
    assert "in stands_still" in stacks


def test_an_event_loop_is_asked_to_beat() -> None:
    with running(EVENT_LOOP) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3 * SECONDS)
        process.communicate("\n", timeout=60)
    assert process.returncode == STATUS


@pytest.mark.parametrize(
    "after", ["asyncio.run(main())\n", "dog.seconds = 0\ndog.start()\n", "dog.start()\ndog.stop()\n"]
)
def test_without_a_loop_to_watch_nothing_is_ended(after: str) -> None:
    main = "async def main():\n    dog.start(asyncio.get_running_loop().call_soon_threadsafe)\n"
    with running(f"{main}{after}time.sleep({2 * SECONDS})") as process:
        assert process.wait(60) == 0
