"""What the suites of the local stack share: finding processes by a mark, and waiting for what happens elsewhere."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

DEADLINE = 60  # for a busy machine


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder outside pytest's own, which every other run of pytest closes to PostgreSQL's user."""
    with tempfile.TemporaryDirectory(prefix="planner-local-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """A word that no process has, unless a test gives it one."""
    return str(tmp_path)


@pytest.fixture
def marked(mark: str) -> Callable[[], list[psutil.Process]]:
    """All processes of this machine with the mark on their command line or in their environment."""

    def look() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and mark in f"{process.cmdline()} {process.environ()}":
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    return look


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """What a function returns once that is true; a failure if it takes too long."""

    def wait(look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE
        while not (seen := look()):
            assert time.monotonic() < deadline, f"{look} never came true"
            time.sleep(0.02)
        return seen

    return wait


@pytest.fixture
def meanwhile() -> Callable[[Callable[[], Any]], Awaitable[Any]]:
    """As `until`, for what happens in this event loop."""

    async def wait(look: Callable[[], Any]) -> Any:
        async with asyncio.timeout(DEADLINE):
            while not (seen := look()):  # noqa: ASYNC110  # it happens elsewhere
                await asyncio.sleep(0.01)
        return seen

    return wait
