"""The whole of Planner for tests: real processes, which a test may kill, freeze and start again.

Nothing here starts again by itself what died: a test that needs it says so, and sees what happened in between.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import psycopg
from planner_common import audit, schema
from planner_common.database import make_engine
from planner_common.settings import Settings
from planner_local.guard import tied
from planner_local.servers import Postgres, Valkey, free_port

BIN = Path(sys.executable).parent
START_SECONDS = 60
STOP_SECONDS = 40
"""More than any service gives itself."""
COMMANDS = {
    "api": [sys.executable, "-m", "planner_api"],
    "dispatcher": [sys.executable, "-m", "planner_worker.dispatcher"],
    "worker": [sys.executable, "-m", "planner_worker"],
}


def until(condition: Callable[[], Any], what: str, seconds: float = START_SECONDS, every: float = 0.02) -> None:
    """Ask again and again until it holds. Raises TimeoutError with `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).is_success
    except httpx.HTTPError:
        return False


class Outside:
    """A system that runs already (Compose), as its users see it."""

    def __init__(self, url: str, audit: str) -> None:
        self.url = url
        self._audit = shlex.split(audit)

    def faults(self, wait: float = 60) -> tuple[int, int, int]:
        """How many notifications are missing, how many are extra, and how many changes are pending after `wait` seconds
        at the latest: all 0, or something is wrong."""
        command = [*self._audit, "--json", "--wait", str(wait)]
        for _ in range(3):  # its canary may make a change between the wait and the look
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            try:
                found = json.loads(done.stdout)
            except ValueError:
                said = f"exit {done.returncode}\n{done.stdout}{done.stderr}"
                raise RuntimeError(f"{shlex.join(command)}: {said}") from None
            if not found["pending"]:
                break
        return found["missing"], found["extra"], found["pending"]


class KillablePostgres(Postgres):
    """Keeps what it has committed if its processes are killed, though not if the machine fails, which no test brings
    about: so nothing is synced to disk, and a recovery need not do that first for each of its files."""

    def command(self) -> list[str]:
        return [*super().command(), "-c", "synchronous_commit=on"]


class System(Outside):
    """`with System(folder) as system:` runs PostgreSQL, Valkey, api, dispatcher and worker on free ports.

    `settings` are added to those that the services get or take their place. `killable`: PostgreSQL, too, may be killed
    and must have kept what it committed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        killable: bool = False,
        services: Sequence[str] = tuple(COMMANDS),
    ) -> None:
        self.folder = folder
        self.services = services
        self.settings = settings or {}
        server = KillablePostgres if killable else Postgres
        self.postgres = server(folder / "postgres", free_port(), "test", durable=False)
        self.valkey = Valkey(folder / "valkey", free_port(), "test")
        self.commands = dict(COMMANDS)
        """What is run under a name, up to its first hyphen. A test may put other programs here before it starts."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.metrics: dict[str, str] = {}
        """Where each service shows its metrics."""
        self.api_port = free_port()
        self._engine = make_engine(Settings(database_url=self.postgres.url()), "tests")
        super().__init__(f"http://127.0.0.1:{self.api_port}", "")

    def __enter__(self) -> Self:
        try:
            self.postgres.start()
            self.valkey.start()
            self.postgres.make_database()
            with self._engine.begin() as connection:
                schema.migrate(connection)
            for name in self.services:
                self.start(name)
            for name in self.services:
                self.ready(name)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop()

    def _stop(self) -> None:
        self._engine.dispose()
        for name in list(self.processes):
            self.stop(name)
        self.valkey.stop()
        self.postgres.stop()

    def faults(self, wait: float = 60) -> tuple[int, int, int]:
        with self._engine.connect() as connection:
            looking = connection.execution_options(isolation_level="AUTOCOMMIT")
            with suppress(TimeoutError):
                until(lambda: not audit.pending(looking)[0], "nothing is pending", wait)
        with self._engine.connect() as connection:
            found = audit.audit(connection)
        return found.missing_count, found.extra_count, found.pending

    def start(self, name: str) -> None:
        """Start a service under its name, or one more of it under another (`dispatcher-2`)."""
        command = self.commands[name.partition("-")[0]]
        heartbeat = self._heartbeat(name)
        heartbeat.unlink(missing_ok=True)
        metrics_port = free_port()
        self.metrics[name] = f"http://127.0.0.1:{metrics_port}/metrics"
        settings = {
            "API_PORT": self.api_port,
            "API_METRICS_PORT": metrics_port,
            "WORKER_METRICS_PORT": metrics_port,
            "DISPATCHER_METRICS_PORT": metrics_port,
            "WORKER_NAME": name,
            "HEARTBEAT_FILE": heartbeat,
        }
        environment = {**self._environment(), **{setting: str(value) for setting, value in settings.items()}}
        with self._log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                tied(command, signal.SIGTERM), stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def ready(self, name: str) -> None:
        """Wait until a service that was started does its work. Raises RuntimeError with its log if it ends instead."""

        def is_ready() -> bool:
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} has ended:\n{self.log(name)}")
            return answers(f"{self.url}/readyz") if name == "api" else self._heartbeat(name).exists()

        until(is_ready, f"{name} is ready")

    def stop(self, name: str) -> int:
        """Stop a service in order, and return its exit status."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        finally:
            self._kill(process)

    def kill(self, name: str) -> None:
        """`kill -9` a service's processes: the main one and its children, which could do nothing about it."""
        self._kill(self.processes.pop(name))

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        for one in self._family(process):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()

    def freeze(self, name: str) -> None:
        """Stop a service's processes where they are (SIGSTOP)."""
        for one in self._family(self.processes[name]):
            with suppress(psutil.NoSuchProcess):
                one.suspend()

    def thaw(self, name: str) -> None:
        for one in self._family(self.processes[name]):
            with suppress(psutil.NoSuchProcess):
                one.resume()

    def children(self, name: str) -> list[psutil.Process]:
        """The processes that a service's main process has started and that live."""
        return self._family(self.processes[name])[1:]

    def _family(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        try:
            main = psutil.Process(process.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def pid(self, name: str) -> int | None:
        """The number of a service's main process; None once it has ended."""
        process = self.processes[name]
        return process.pid if process.poll() is None else None

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection to the database, each statement for itself."""
        return psycopg.connect(self.postgres.url(), autocommit=True)

    def log(self, name: str, lines: int = 30) -> str:
        """The end of what a service printed."""
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-lines:])

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _heartbeat(self, name: str) -> Path:
        return self.folder / f"{name}-heartbeat"

    def _environment(self) -> Mapping[str, str]:
        """Only what is said here: a developer's own settings must not get into tests."""
        return {
            "PATH": f"{BIN}:{os.defpath}",
            "LC_ALL": "C.UTF-8",
            "TMPDIR": str(self.folder),
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": self.valkey.url(),
            "SIGNING_KEY": "a key for tests, which is long enough",
            "ENCRYPTION_KEYS": "another key for tests, long enough as well",
            "RATE_LIMIT": "1000000/minute",
            "RATE_LIMIT_LOGIN": "100000/minute",
            "LEASE_SECONDS": "2",  # what is lost is found again soon, so that tests need not wait for it
            **self.settings,
        }
