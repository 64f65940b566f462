"""What benchmarks run on: the real services beside a PostgreSQL that keeps its promises, and processes of peers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from planner_local.guard import tied
from planner_local.servers import Postgres

from bench.people import SIGNING_KEY
from tests.system import BIN, System

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Plan:
    """How much is to be measured. A smoke run shows that everything runs, and its figures mean nothing."""

    rounds: int = 3
    smoke: bool = False

    def size(self, full: int, smoke: int) -> int:
        return smoke if self.smoke else full


class Stack(System):
    """The tests' system with what tests save on: synced commits, and as much memory as in Compose."""

    def __init__(self, folder: Path, **options: object) -> None:
        super().__init__(folder, **options)  # type: ignore[arg-type]
        self.settings = {"SIGNING_KEY": SIGNING_KEY, "AUDIT_SECONDS": "0", "REACH_PER_HOUR": "0", **self.settings}
        self.postgres = Durable(folder / "postgres", self.postgres.port, "test")

    def environment(self) -> dict[str, str]:
        """What every service gets, for another process of one."""
        return dict(self._environment())

    def for_peers(self) -> dict[str, str]:
        """Where a peer's programs find the same PostgreSQL, and a database of Valkey of their own."""
        return {"DATABASE_URL": self.postgres.url(), "REDIS_URL": self.valkey.url(7)}


class Durable(Postgres):
    def command(self) -> list[str]:
        return [*super().command(), "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"]


@contextmanager
def stack(**options: object) -> Iterator[Stack]:
    with TemporaryDirectory(prefix="planner-bench-") as name, Stack(Path(name), **options) as system:
        yield system


@contextmanager
def processes(commands: Sequence[Sequence[str]], environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run programs of a peer; they end with the block."""
    own = {"PATH": f"{BIN}:{os.defpath}", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    running = []
    try:
        for command in commands:
            with log.open("ab") as output:
                running.append(
                    subprocess.Popen(
                        tied([sys.executable, "-m", *command], signal.SIGTERM),
                        env=own | environment,
                        stdout=output,
                        stderr=output,
                        cwd=ROOT,
                        start_new_session=True,
                    )
                )
        yield
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
