"""The metrics of a service behind one port, however many processes it is. Import this before `planner_common.metrics`.

Where there are several (uvicorn's, the children of a worker) each counts in files of its own, in one folder, and
`serve` adds them up. The files are named by the process's place: the lowest number that no living process of the
service has. A lock holds it, which the kernel opens when the process ends, however it ends. Who takes the place next
goes on counting where the dead one stopped, so that nothing is lost, nothing counts twice, and the files stay few. One
process alone keeps its numbers in memory, which costs less.
"""

import atexit
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's


def prepare(*, alone: bool = False) -> None:
    """Begin a service, in its main process: with an empty folder for all its processes, unless it is `alone`.

    Files of an earlier run would be added to the present. Without `PROMETHEUS_MULTIPROC_DIR` in the environment the
    folder is a temporary one, gone when this process ends.
    """
    given = os.environ.pop(FOLDER, None)
    if alone:
        return
    folder = Path(given or tempfile.mkdtemp(prefix="planner-metrics-"))
    if given:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    else:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[FOLDER] = str(folder)
    join()


def join() -> None:
    """Take a place among the service's processes: for one that was started anew. One that was forked does by itself."""
    if folder := os.environ.get(FOLDER):
        from prometheus_client import values  # noqa: PLC0415  # it looks for the folder when it is imported

        values.ValueClass = values.MultiProcessValue(Place(Path(folder)))


class Place:
    """Called before each value is changed, it names the place of the process that it finds itself in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = 0
        self._name = ""
        self._lock: IO[bytes] | None = None

    def __call__(self) -> str:
        if self._process != os.getpid():  # the first call, or the first since a fork
            self._name, self._lock = next(self._free())
            self._process = os.getpid()
            forget(self._folder, self._name)
        return self._name

    def _free(self) -> Iterator[tuple[str, IO[bytes]]]:
        for number in itertools.count():
            if lock := _locked(self._folder / f"{number}.lock"):
                yield f"place{number}", lock


def _locked(path: Path) -> IO[bytes] | None:
    """The file, locked until it is closed; None if somebody has it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def forget(folder: Path, place: str) -> None:
    """Drop the gauges of a process that ended: what they show is no longer so. What it counted has happened."""
    for file in folder.glob(f"gauge_live*_{place}.db"):
        file.unlink(missing_ok=True)


def forget_the_dead(folder: Path) -> None:
    for path in folder.glob("*.lock"):
        if lock := _locked(path):
            with lock:
                forget(folder, f"place{path.stem}")


def serve(host: str, port: int, service: str) -> None:
    """Serve the metrics of a service at `/metrics`, from a thread. Raises OSError if the port is taken."""
    from prometheus_client import REGISTRY, CollectorRegistry, Metric, start_http_server  # noqa: PLC0415  # as above
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    from planner_common.metrics import belongs  # noqa: PLC0415

    folder = os.environ.get(FOLDER)
    source = MultiProcessCollector(None) if folder else REGISTRY

    class Own(Collector):
        """The catalogue has metrics of other services too, which would all be 0 here."""

        def collect(self) -> Iterable[Metric]:
            if folder:
                forget_the_dead(Path(folder))
            return [metric for metric in source.collect() if belongs(metric.name, service)]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Own())
    start_http_server(port, host, registry)
