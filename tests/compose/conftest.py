"""Tests of the Compose stack that `tests/compose/run` brought up: see `make compose-test`."""

import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from planner_local.client import Person, connect

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.compose)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """What the services said goes with the failures: the stack is gone afterwards."""
    if exitstatus and "PLANNER_URL" in os.environ:
        terminalreporter.section("the stack")
        for command in (["ps", "--all"], ["logs", "--no-color", "--tail", "60"]):
            said = subprocess.run(["docker", "compose", *command], check=False, capture_output=True, text=True)
            terminalreporter.write_line((said.stdout + said.stderr).rstrip())


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with connect(os.environ["PLANNER_URL"]) as client:
        yield client


@pytest.fixture
async def ann(http: httpx.AsyncClient) -> Person:
    return await Person(http, f"ann-{secrets.token_hex(4)}@example.org").register()


@pytest.fixture
async def bob(http: httpx.AsyncClient) -> Person:
    return await Person(http, f"bob-{secrets.token_hex(4)}@example.org").register()
