"""The nemesis: lets the faults of a schedule happen, starts again what died by itself, and notes all of it."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from threading import Event

import psutil

from tests.faults.faults import FAULTS, Scene
from tests.faults.ledger import Ledger
from tests.faults.schedule import Planned

WATCH_SECONDS = 0.25
RESTART_SECONDS = 1.0
"""After which whatever ended by itself is started again: what a restart policy does."""
HEALINGS = 3
"""How often a service that does not stay is started again when all faults are over."""
ORPHANS_SECONDS = 20.0

Tell = Callable[[Planned, str | None], object]


class Nemesis:
    """It lives in one thread, which outlives the system: what it starts ends with it (`planner_local.guard.tied`)."""

    def __init__(self, scene: Scene, ledger: Ledger, began: Tell, ended: Tell) -> None:
        """`began` and `ended` are told of each fault, and of what went wrong with it."""
        self.scene = scene
        self.ledger = ledger
        self.began = began
        self.ended = ended
        self.done = Event()
        """Set from outside: no more faults, no more watching."""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._left = 0
        self._down: set[str] = set()
        """Services whose end was seen, and that are to be started again."""

    def run(self, planned: Iterable[Planned]) -> None:
        """Let all of it happen. Returns when the last fault is over."""
        start = time.monotonic()
        for one in planned:
            self._at(start + one.at, partial(self._begin, one))
            self._left += 1
        self._at(start, self._watch)
        self._turn(lambda: not self._left)

    def watch(self) -> None:
        """Go on starting again what ends by itself, until `done`."""
        self._turn(lambda: False)

    def _turn(self, until: Callable[[], bool]) -> None:
        while not (until() or self.done.is_set()):
            at, _, act = heapq.heappop(self._due)
            if not self.done.wait(max(0.0, at - time.monotonic())):
                act()

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (moment, next(self._order), act))

    def _begin(self, planned: Planned) -> None:
        fault = FAULTS[planned.kind](self.scene, planned.pick)
        target, error, began = "", None, time.time()
        try:
            target = next(fault)
        except Exception as caught:  # noqa: BLE001  # noted, and the run goes on
            error = repr(caught)
        line = {"number": planned.number, "kind": planned.kind, "target": target, "error": error}
        self.ledger.write("began", began=began, **line)
        self.began(planned, error)
        self._at(time.monotonic() + planned.seconds, partial(self._end, planned, fault))

    def _end(self, planned: Planned, fault: Iterator[str]) -> None:
        error, ended = None, time.time()
        try:
            next(fault, None)
        except Exception as caught:  # noqa: BLE001  # whatever it left down, `heal` brings up
            error = repr(caught)
        self._left -= 1
        self.ledger.write(
            "ended", number=planned.number, kind=planned.kind, ended=ended, error=error, seconds=time.time() - ended
        )
        self.ended(planned, error)

    def _watch(self) -> None:
        """Start again what has ended by itself: no fault of ours, but perhaps an answer to one."""
        for name, process in list(self.scene.system.processes.items()):
            status = process.poll()
            if status is not None and name not in self._down:
                self._down.add(name)
                self.ledger.write("exit", service=name, status=status)
                self._at(time.monotonic() + RESTART_SECONDS, partial(self._restart, name))
        for server in (self.scene.system.postgres, self.scene.system.valkey):
            if server.process is not None and (status := server.process.poll()) is not None:
                self.ledger.write("exit", service=type(server).__name__, status=status)
                server.start()
        self._at(time.monotonic() + WATCH_SECONDS, self._watch)

    def _restart(self, name: str) -> None:
        self._down.discard(name)
        process = self.scene.system.processes.get(name)
        if process is not None and process.poll() is not None:  # a fault may have been quicker
            self.scene.system.start(name)

    def heal(self) -> None:
        """Bring back whatever is not there, and wait until all services are ready."""
        system = self.scene.system
        for server in (system.postgres, system.valkey):
            if server.process is None or server.process.poll() is not None:
                server.start()
        if self.scene.sink._process is None:
            self.scene.sink.start()
        self.scene.disturb_mail()
        for name in system.services:
            if name not in system.processes or system.pid(name) is None:
                system.start(name)
        for name in system.services:
            self._bring_up(name)
        self.ledger.write("healed")

    def _bring_up(self, name: str) -> None:
        """Wait until a service is ready. One that ends instead, by what has just happened, is started again."""
        for _ in range(HEALINGS):
            try:
                self.scene.system.ready(name)
            except RuntimeError:
                self.ledger.write("exit", service=name, status=self.scene.system.processes[name].poll())
                self.scene.system.start(name)
            else:
                return
        self.scene.system.ready(name)

    def end_orphans(self) -> None:
        """Note, and end, children that have outlived their killed main process: they should have seen it."""
        _, left = psutil.wait_procs(self.scene.orphans, timeout=ORPHANS_SECONDS)
        for orphan in left:
            if orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE:  # nobody reaps it in some containers
                self.ledger.write("orphan", pid=orphan.pid)
                orphan.kill()
