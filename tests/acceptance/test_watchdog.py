"""A service whose loop stands still ends, with the status of the watchdog. Nobody takes its log any more: that stops it
wherever it next has something to say."""

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from planner_common.watchdog import STATUS

from tests.system import System, until

pytestmark = [
    pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system's processes are not ours"),
    pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="this system's pipes are of another kind"),
]


class Log:
    """A service's log, which it waits for once it is full."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def fill(self) -> None:
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while True:
                    os.write(self.pipe, b"-" * size)


@pytest.fixture
def system() -> Iterator[System]:
    settings = {"WATCHDOG_SECONDS": "3", "API_PROCESSES": "1"}
    with (
        TemporaryDirectory(prefix="planner-test-") as folder,
        System(Path(folder), settings=settings, services=()) as system,
    ):
        yield system


def has_something_to_say(system: System, service: str) -> None:
    if service == "api":
        with suppress(httpx.TimeoutException):
            httpx.get(f"{system.url}/api/v1/me", trust_env=False, timeout=0.5)
    else:
        system.valkey.stop()


@pytest.mark.parametrize("service", ["api", "dispatcher", "worker"])
def test_a_service_that_stands_still_ends(system: System, service: str) -> None:
    path = system.folder / "log"
    log = Log(path)
    command = shlex.join(system.commands[service])
    system.commands[service] = ["sh", "-c", f"exec {command} >{shlex.quote(str(path))}"]
    try:
        system.start(service)
        system.ready(service)
        log.fill()
        has_something_to_say(system, service)
        until(lambda: system.pid(service) is None, "it has ended")
        assert system.processes.pop(service).returncode == STATUS
        assert "most recent call first" in system.log(service, lines=1000), "where its threads stood"
    finally:
        os.close(log.pipe)
