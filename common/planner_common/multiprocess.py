"""Metrics of several processes behind one port. Import this before anything that imports `prometheus_client`."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


def prepare(identify: Callable[[], object] = os.getpid) -> Path:
    """Point prometheus-client at an empty folder for this service's processes to share, and return it.

    Files of an earlier run would be added to the present: the folder is emptied. Without `PROMETHEUS_MULTIPROC_DIR` in
    the environment it is a new temporary folder.

    `identify` names processes that run at the same time. By default, by number, each process that ever ran leaves its
    files; where places are taken again (the children of a pool), the name of the place keeps them few.
    """
    folder = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR") or tempfile.mkdtemp(prefix="planner-metrics-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)

    from prometheus_client import values  # noqa: PLC0415  # it looks for the folder when it is imported

    values.ValueClass = values.MultiProcessValue(identify)
    return folder


def serve(host: str, port: int) -> None:
    """Serve the sum of all processes' metrics at `/metrics`, from a thread. Raises OSError if the port is taken."""
    from prometheus_client import CollectorRegistry, Metric, start_http_server  # noqa: PLC0415  # see the docstring
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    class OfTheLiving:
        def __init__(self) -> None:
            self.folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
            self.all = MultiProcessCollector(None)

        def collect(self) -> Iterable[Metric]:
            forget_the_dead(Path(self.folder))
            metrics: Iterable[Metric] = self.all.collect()
            return metrics

    registry = CollectorRegistry()
    registry.register(OfTheLiving())
    start_http_server(port, host, registry)


def forget_the_dead(folder: Path) -> None:
    """Drop the gauges of processes that ended without saying so (`kill -9`)."""
    names = {file.stem.rpartition("_")[2] for file in folder.glob("gauge_live*_*.db")}
    for pid in {int(name) for name in names if name.isdecimal()}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            forget(pid)


def forget(pid: int) -> None:
    """Drop the gauges of a process that ended. Its counters stay: what happened has happened."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(pid)
