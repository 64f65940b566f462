import asyncio
import os
import random
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from planner_local import supervisor
from planner_local.supervisor import Child, Service, StartError, Supervised

Meanwhile = Callable[[Callable[[], Any]], Awaitable[Any]]
ENVIRONMENT = {"PATH": os.defpath}


class Written(list[str]):
    def __call__(self, name: str, line: str) -> None:
        self.append(f"{name}: {line}")


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def shell(mark: str, written: Written) -> Callable[..., Supervised]:
    def make(script: str, **options: Any) -> Supervised:
        once = options.pop("once", False)
        program = Service(["sh", "-c", script], {**ENVIRONMENT, "MARK": mark}, **options)
        return Supervised("it", program, written, once=once)

    return make


@asynccontextmanager
async def running(process: Supervised) -> AsyncIterator[Supervised]:
    process.start()
    try:
        yield process
    finally:
        await process.stop(10, asyncio.Event())


async def test_starts_again_what_was_killed(
    shell: Callable[..., Supervised], written: Written, meanwhile: Meanwhile
) -> None:
    async with running(shell("exec sleep 1000")) as process:
        await process.until_ready()
        first = process.pid
        assert first
        os.kill(first, signal.SIGKILL)
        second = await meanwhile(lambda: process.pid not in (None, first) and process.pid)
        assert psutil.pid_exists(second)
    assert "it: was ended by SIGKILL; starts again in 0.2 s" in written
    assert not psutil.pid_exists(second)


async def test_kills_what_a_dead_program_left_before_it_starts_again(
    shell: Callable[..., Supervised], marked: Callable[[], list[psutil.Process]], meanwhile: Meanwhile
) -> None:
    async with running(shell("sleep 1000 & exec sleep 1000")) as process:
        await meanwhile(lambda: len(marked()) == 2)
        assert process.pid
        orphan = next(found.pid for found in marked() if found.pid != process.pid)
        os.kill(process.pid, signal.SIGKILL)
        await meanwhile(lambda: process.starts == 2 and len(marked()) == 2)
        assert orphan not in [found.pid for found in marked()]


async def test_gives_up_on_what_never_comes_up_and_says_why(
    shell: Callable[..., Supervised], written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SHORTEST_PAUSE", 0.01)
    async with running(shell("echo no such host; exit 3", ready=lambda: False)) as process:
        with pytest.raises(StartError, match=r"it ended with status 3, 5 times\. It said last:\n(  no such host\n?)+$"):
            await process.until_ready()
    pauses = [float(found) for line in written for found in re.findall(r"again in ([\d.]+) s", line)]
    assert len(pauses) == 4
    assert pauses == sorted(pauses)


async def test_gives_up_at_once_on_a_wrong_configuration(shell: Callable[..., Supervised]) -> None:
    async with running(shell("echo setting X: is wrong; exit 78", ready=lambda: False)) as process:
        with pytest.raises(StartError, match=r"(?s)status 78\. It said last:.*X: is wrong"):
            await process.until_ready()
        assert process.starts == 1


async def test_does_not_give_up_on_what_was_ready_once(
    shell: Callable[..., Supervised], meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.01)
    up = tmp_path / "up"
    async with running(shell(f"[ -e {up} ] && exit 1; touch {up}; exec sleep 1000", ready=up.exists)) as process:
        await process.until_ready()
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        await meanwhile(lambda: process.starts > 2 * supervisor.TRIES)
        up.unlink()
        await meanwhile(up.exists)


async def test_says_who_is_not_ready_in_time(shell: Callable[..., Supervised]) -> None:
    async with running(shell("echo thinking; exec sleep 1000", ready=lambda: False)) as process:
        with pytest.raises(StartError, match=r"it runs, but is not ready after 0.5 s\. It said last:\n  thinking"):
            await process.until_ready(0.5)


async def test_a_heartbeat_of_an_earlier_life_does_not_count(shell: Callable[..., Supervised], tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    beat.touch()
    async with running(shell("exec sleep 1000", heartbeat=beat)) as process:
        with pytest.raises(StartError, match="not ready"):
            await process.until_ready(0.5)
        beat.touch()
        await process.until_ready()


async def test_runs_something_once(shell: Callable[..., Supervised]) -> None:
    async with running(shell("exit 0", once=True)) as process:
        await process.until_ready()
    async with running(shell("echo disk full; exit 1", once=True)) as process:
        with pytest.raises(StartError, match="disk full"):
            await process.until_ready()
        assert process.starts == 1


@pytest.mark.parametrize("hurry", [True, False])
async def test_kills_what_does_not_stop_and_its_children(
    shell: Callable[..., Supervised],
    marked: Callable[[], list[psutil.Process]],
    written: Written,
    meanwhile: Meanwhile,
    hurry: bool,
) -> None:
    process = shell("trap '' TERM; sleep 1000 & echo deaf; while :; do sleep 0.1; done")
    process.start()
    await meanwhile(lambda: "it: deaf" in written)
    hurrying = asyncio.Event()
    if hurry:
        hurrying.set()
    await process.stop(60 if hurry else 0.2, hurrying)
    assert "it: does not stop on SIGTERM: killed" in written
    assert marked() == []


async def test_stops_at_any_moment_of_a_start(
    shell: Callable[..., Supervised], marked: Callable[[], list[psutil.Process]]
) -> None:
    """Before there is a process, while it becomes the program, when it runs, between two lives."""
    for delay in (0, 0.001, *(random.uniform(0, 0.3) for _ in range(15))):  # noqa: S311  # a moment, not a secret
        process = shell("sleep 0.05", ready=lambda: False)
        process.start()
        await asyncio.sleep(delay)
        await process.stop(10, asyncio.Event())
        assert process.task
        assert process.task.done()
        assert marked() == []


async def test_a_program_finds_nothing_of_ours_in_its_environment(
    shell: Callable[..., Supervised], written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANNER_SECRET", "in the shell of whoever typed make up")
    async with running(shell("env", once=True)) as process:
        await process.until_ready()
    assert {line.removeprefix("it: ").partition("=")[0] for line in written} <= {"PATH", "MARK", "PWD", "LC_CTYPE"}


async def test_passes_on_what_is_still_in_the_pipe_when_a_program_dies(
    shell: Callable[..., Supervised], written: Written
) -> None:
    async with running(shell("seq 20000; printf 'no line break'; kill -9 $$", once=True)) as process:
        with pytest.raises(StartError):
            await process.until_ready()
    assert written == [f"it: {number}" for number in range(1, 20001)] + ["it: no line break"]


@pytest.mark.parametrize(
    ("chunks", "whole"),
    [
        ([b"par", b"tial\nnext", b"\n"], ["partial", "next"]),
        ([b"dos\r\n\r\n"], ["dos", ""]),
        (["é".encode()[:1], "é".encode()[1:], b"\n"], ["é"]),
        ([b"\xff\n"], ["\N{REPLACEMENT CHARACTER}"]),
        ([b"last"], ["last"]),
        ([], []),
    ],
)
async def test_lines_are_whole(chunks: list[bytes], whole: list[str]) -> None:
    taken: list[str] = []
    child = Child(taken.append)
    for chunk in chunks:
        child.pipe_data_received(1, chunk)
    child.pipe_connection_lost(1, None)
    assert taken == whole


async def test_an_endless_line_is_cut() -> None:
    taken: list[str] = []
    child = Child(taken.append)
    child.pipe_data_received(1, b"x" * 2 * supervisor.LONGEST_LINE)
    assert len(taken) == 1
