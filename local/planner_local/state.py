"""What is known of a running stack, by other commands and by the next start: a lock, and a file beside it.

The lock says whether one runs, and can't be stale: the kernel drops it with its last holder. The file says where; there
are no secrets in it.
"""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from planner_local.guard import end


class RunningError(Exception):
    """A stack runs in this folder already."""


@dataclass(frozen=True)
class Addresses:
    api: str
    flower: str
    exporter: str
    canary: str
    api_metrics: str
    worker_metrics: str
    dispatcher_metrics: str
    flower_metrics: str
    postgres: str
    valkey: str
    mail: str = ""
    """The folder that mails are kept in; empty when they go to a server that the environment names."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder for as long as the block runs, here and in processes forked in it. Raises RunningError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunningError from None
        yield


@dataclass
class State:
    folder: Path
    addresses: Addresses
    ready: bool = False

    def save(self, pids: Mapping[str, int | None]) -> None:
        """Write it down, whole or not at all."""
        processes = {}
        for name, pid in pids.items():
            with suppress(psutil.NoSuchProcess):
                if pid is not None:
                    processes[name] = {"pid": pid, "started": psutil.Process(pid).create_time()}
        content = {"ready": self.ready, "addresses": asdict(self.addresses), "processes": processes}
        new = _file(self.folder).with_suffix(".new")
        new.write_text(json.dumps(content, indent=1) + "\n")
        new.replace(_file(self.folder))

    def forget(self) -> None:
        forget(self.folder)

    def end_leftovers(self, say: Callable[[str], None]) -> None:
        """End what a run that was killed left behind. The start time tells a process from a later one of its number."""
        left = []
        for name, process in (_read(self.folder) or {}).get("processes", {}).items():
            with suppress(psutil.NoSuchProcess):
                found = psutil.Process(process["pid"])
                if found.create_time() == process["started"]:
                    say(f"an earlier run left {name} ({found.pid}) behind: it is ended")
                    left += [found, *found.children(recursive=True)]
        end(left, grace=10)
        self.forget()


def running(folder: Path) -> tuple[Addresses, bool] | None:
    """Where the stack that runs in this folder listens and whether it is ready; None if none runs or none says."""
    if not folder.exists():
        return None
    try:
        with alone(folder):
            return None
    except RunningError:
        content = _read(folder)
        return (Addresses(**content["addresses"]), content["ready"]) if content else None


def forget(folder: Path) -> None:
    _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder / "state.json"


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(_file(folder).read_text())
    except FileNotFoundError:
        return None
    return content
