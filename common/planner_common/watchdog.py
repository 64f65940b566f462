"""A process whose loop stands still ends, so that what started it starts it again.

Restart policies look at exits only; a process that hangs would stay "unhealthy" for ever. What may hang is anything: a
lock that nobody opens, a log that nobody reads, a library that waits without a bound.
"""

import faulthandler
import os
import tempfile
import threading
from collections.abc import Callable

from planner_common.logging import get_logger

STATUS = 70
"""How a process that a watchdog ended exits: EX_SOFTWARE of sysexits.h."""
TICKS = 12
"""So often it looks within its seconds."""
LAST_WORDS_SECONDS = 5
"""How long it may take to say why. What hangs may be the log."""

logger = get_logger("planner_common.watchdog")


class Watchdog:
    """`watchdog.start()`; then the loop calls `beat()` whenever it comes round, or is asked to, by `start(ask)`.

    It counts its own ticks, not the time. When the whole process stood still, because it or the machine was suspended,
    a single tick was missed: it is not killed for it when it goes on.
    """

    def __init__(self, loop: str, seconds: float) -> None:
        """`loop`: what it is called in the log. `seconds`: how long it may stand still; 0: for ever."""
        self.loop = loop
        self.seconds = seconds
        self.beaten = True
        self.stopped = threading.Event()

    def beat(self) -> None:
        """The loop turns. Cheap enough to be said at each turn."""
        self.beaten = True

    def start(self, ask: Callable[[Callable[[], None]], object] | None = None) -> None:
        """`ask` has the loop call a function, from another thread, as asyncio's `call_soon_threadsafe` does."""
        if self.seconds:
            threading.Thread(target=self.watch, args=(ask,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """The loop is about to end in order."""
        self.stopped.set()

    def watch(self, ask: Callable[[Callable[[], None]], object] | None) -> None:
        silent = 0
        while not self.stopped.wait(self.seconds / TICKS):
            silent = 0 if self.beaten else silent + 1
            if silent >= TICKS:
                self.end()
            self.beaten = False
            if ask:
                try:
                    ask(self.beat)
                except RuntimeError:  # the loop was closed
                    return

    def end(self) -> None:
        """Say which loop stood still, and where each thread is, then exit: even if nobody takes what is said."""
        last = threading.Timer(LAST_WORDS_SECONDS, os._exit, (STATUS,))
        last.daemon = True
        last.start()
        with tempfile.TemporaryFile() as stacks:  # by way of a file, since faulthandler writes while all others wait
            faulthandler.dump_traceback(stacks)
            stacks.seek(0)
            os.write(2, stacks.read())
        logger.critical("a loop stands still", loop=self.loop, seconds=self.seconds)
        os._exit(STATUS)
