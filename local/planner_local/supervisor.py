"""One program as a supervised child process: started, its output passed on, started again when it dies, stopped."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from planner_local.guard import end_group, tied

CONFIGURATION = 78  # EX_CONFIG of sysexits.h: trying again won't help
TRIES = 5
"""How often a program may die before it was ready for the first time. Later it is started again for ever."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds between a death and the next start, doubled with each death in a row."""
STEADY_SECONDS = 30
"""A program that lived this long is past its trouble: its next pause is the shortest again."""
READY_SECONDS = 120
POLL_SECONDS = 0.1
LONGEST_LINE = 64 * 1024
LAST_LINES = 15


class StartError(Exception):
    """Something that must run does not; the text says what, why, and what it said last."""


class Program(Protocol):
    """What to run: servers.Server, or a Service."""

    stop_signal: signal.Signals
    user: int | None

    @property
    def environment(self) -> Mapping[str, str]: ...
    def prepare(self) -> None: ...
    def command(self) -> list[str]: ...
    def is_ready(self) -> bool: ...


@dataclass
class Service:
    """A program of ours. `heartbeat`, if given, is a file that it touches: until it does, the program is not ready."""

    arguments: list[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool] = lambda: True
    heartbeat: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    user: int | None = field(default=None, init=False)

    def prepare(self) -> None:
        if self.heartbeat:
            self.heartbeat.unlink(missing_ok=True)

    def command(self) -> list[str]:
        return self.arguments

    def is_ready(self) -> bool:
        return (self.heartbeat is None or self.heartbeat.exists()) and self.ready()


@dataclass
class Supervised:
    """`start()`, then `await until_ready()`; at the end `await stop()`, whatever happened before.

    Nothing here is cancelled in the middle of a start: `stop()` says that it is to end, and the loop sees it.
    """

    name: str
    program: Program
    write: Callable[[str, str], None]
    """Takes the name and a line: what the program prints, and what happens to it."""
    changed: Callable[[], None] = lambda: None
    """Called when there is a new process."""
    once: bool = False
    """Whether it is to run to its end, which is when it is ready, rather than for ever."""

    task: asyncio.Task[None] | None = field(default=None, init=False)
    pid: int | None = field(default=None, init=False)
    starts: int = field(default=0, init=False)
    ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES), init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def start(self) -> None:
        self.task = asyncio.create_task(self._run(), name=self.name)

    async def until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Raises StartError if it keeps dying, or does not answer in time."""
        assert self.task is not None  # noqa: S101  # start() comes first
        waiting = asyncio.create_task(self.ready.wait())
        try:
            await asyncio.wait({self.task, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self.task.done():
            self.task.result()
        elif not self.ready.is_set():
            raise StartError(self._said(f"{self.name} runs, but is not ready after {seconds:g} s"))

    async def stop(self, grace: float, hurry: asyncio.Event) -> None:
        """End it and what it started: in order, or by SIGKILL after `grace` seconds or when `hurry` is set."""
        self._stopping.set()
        if self.task is None:
            return
        self._signal(self.program.stop_signal)
        hurrying = asyncio.create_task(hurry.wait())
        await asyncio.wait({self.task, hurrying}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not self.task.done() and self.pid is not None:
            self.write(self.name, f"does not stop on {self.program.stop_signal.name}: killed")
            self._signal(signal.SIGKILL)
        await asyncio.wait({self.task})

    async def _run(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            await asyncio.to_thread(self.program.prepare)
            if self._stopping.is_set():
                return
            born = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set() or (self.once and status == 0):
                self.ready.set()
                return
            if time.monotonic() - born > STEADY_SECONDS:
                pause = SHORTEST_PAUSE
            died = f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
            hopeless = status == CONFIGURATION or self.once or self.starts >= TRIES
            if hopeless and not self.ready.is_set():
                raise StartError(
                    self._said(f"{self.name} {died}" + (f", {self.starts} times" if self.starts > 1 else ""))
                )
            self.write(self.name, f"{died}; starts again in {pause:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run_once(self) -> int:
        """One life of the process. Returns its exit status, negative for a signal."""
        transport, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: Child(self._take),
            *tied(self.program.command(), self.program.stop_signal, self.program.user),
            stdin=DEVNULL,
            stderr=STDOUT,
            env=self.program.environment,
            cwd="/",
            start_new_session=True,  # the terminal's Ctrl-C is for the supervisor; and its children can be found
        )
        self.pid = pid = transport.get_pid()
        self.starts += 1
        self.changed()
        if self._stopping.is_set():  # while it was being started
            self._signal(self.program.stop_signal)
        probe = asyncio.create_task(self._probe())
        await child.exited.wait()
        self.pid = None
        probe.cancel()
        end_group(pid)
        with suppress(TimeoutError):  # what left the group may hold the pipe open for ever
            await asyncio.wait_for(child.silent.wait(), 1)
        transport.close()
        status = transport.get_returncode()
        assert status is not None  # noqa: S101  # it has exited
        return status

    async def _probe(self) -> None:
        if self.once:
            return
        while not await asyncio.to_thread(self.program.is_ready):  # noqa: ASYNC110  # it is in another process
            await asyncio.sleep(POLL_SECONDS)
        self.ready.set()

    def _take(self, line: str) -> None:
        self.last_lines.append(line)
        self.write(self.name, line)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self.pid is not None:
                os.kill(self.pid, number)

    def _said(self, what: str) -> str:
        last = "".join(f"\n  {line}" for line in self.last_lines)
        return what + (f". It said last:{last}" if last else ", without a word.")


class Child(asyncio.SubprocessProtocol):
    """The output of a process as whole lines: a started one waits for its end, unless it is endless or nothing follows.

    `exited` and `silent` are two things: children that a process left behind may go on writing. asyncio.subprocess's
    own `wait()` would wait for both.
    """

    def __init__(self, take: Callable[[str], None]) -> None:
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self._take = take
        self._rest = b""

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            self._take(line.decode(errors="replace").rstrip("\r"))

    def pipe_connection_lost(self, _fd: int, _error: Exception | None) -> None:
        if self._rest:
            self._take(self._rest.decode(errors="replace"))
        self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()
