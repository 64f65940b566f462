"""Ledgers: files of JSON lines that are only added to, outside of what is under test."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Self


class Ledger:
    """Each line is handed to the kernel before `write` returns: what was noted stays, whoever dies afterwards."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8")
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()

    def write(self, what: str, **line: Any) -> None:
        """Add a line: what happened, and when (`at`, seconds since 1970)."""
        text = json.dumps({"what": what, "at": time.time(), **line}) + "\n"
        with self._lock:
            self._file.write(text)
            self._file.flush()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ledger, in order, but for one that was cut off."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
