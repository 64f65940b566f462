"""Tests of the Compose stack that `tests/compose/run` brought up: see `make compose-test`."""

import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from planner_local.client import Person

Join = Callable[..., Awaitable[Person]]
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
async def ann(join: Join) -> Person:
    return await join("Ann")


@pytest.fixture
async def bob(join: Join) -> Person:
    return await join("Bob")
