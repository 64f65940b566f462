"""Tests of the whole system. One runs for all of them, or they use the one at `PLANNER_URL`."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from planner_local.client import Person, connect

from tests.system import Outside, System

numbers = count()


@pytest.fixture(scope="session")
def planner() -> Iterator[Outside]:
    """Planner, running."""
    if "PLANNER_URL" in os.environ:
        yield Outside(os.environ["PLANNER_URL"], os.environ["PLANNER_AUDIT"])
        return
    # Not below pytest's folder: each run of pytest closes it to other users, such as the one that PostgreSQL runs as.
    with TemporaryDirectory(prefix="planner-test-") as folder, System(Path(folder)) as system:
        yield system


@pytest.fixture(scope="session")
async def http(planner: Outside) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(planner.url) as client:
        yield client


@pytest.fixture(scope="session")
def join(http: httpx.AsyncClient) -> Callable[..., Awaitable[Person]]:
    """`ann = await join("Ann")`: somebody who has registered and logged in."""

    async def join(name: str, **account: str) -> Person:
        person = Person(http, f"{name.lower()}-{os.getpid()}-{next(numbers)}@example.org", name)
        return await person.register(**account)

    return join
