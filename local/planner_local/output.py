"""Printing that never makes anyone wait: a terminal that is paused must not stop the services whose lines it shows."""

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import TextIO

MOST_PIECES = 10_000
"""What waits for a reader who pauses; what comes then is dropped, and counted."""
LAST_SECONDS = 2
COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


class Patient:
    """A text stream to write to, which a thread copies to `target`. When that is closed, this process gets SIGTERM."""

    def __init__(self, target: TextIO) -> None:
        self.target = target
        self.dropped = 0
        self.waiting: queue.Queue[str | None] = queue.Queue(MOST_PIECES)
        self.thread = threading.Thread(target=self._copy, name="output", daemon=True)
        self.thread.start()

    def write(self, text: str) -> int:
        try:
            if self.dropped:
                self.waiting.put_nowait(f"… {self.dropped} lines dropped, for nobody read them\n")
                self.dropped = 0
            self.waiting.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Nothing to do: the thread writes as fast as is read."""

    def isatty(self) -> bool:
        return self.target.isatty()

    def fileno(self) -> int:
        return self.target.fileno()

    @property
    def encoding(self) -> str:
        return self.target.encoding

    def finish(self) -> None:
        """Wait for what is written to be read, but not for long."""
        try:
            self.waiting.put(None, timeout=LAST_SECONDS)
        except queue.Full:
            return
        self.thread.join(LAST_SECONDS)

    def _copy(self) -> None:
        try:
            while (text := self.waiting.get()) is not None:
                self.target.write(text)
                if self.waiting.empty():
                    self.target.flush()
        except BrokenPipeError:  # who read this has gone, and so do we
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            os.kill(os.getpid(), signal.SIGTERM)


def prefixing(names: list[str], stream: Patient, *, colour: bool) -> Callable[[str, str], None]:
    """A `write` for Supervised that prints each line behind its program's name."""
    width = max(map(len, names))

    def write(name: str, line: str) -> None:
        prefix = f"{name:<{width}} │"
        if colour:
            prefix = f"\033[{COLOURS[names.index(name) % len(COLOURS)]}m{prefix}\033[0m"
            line += "\033[0m"
        stream.write(f"{prefix} {line}\n")

    return write
