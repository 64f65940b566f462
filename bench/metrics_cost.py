"""What metrics cost: one process of the API with its catalogue, and one with a catalogue that counts nothing, in turns.

Requests per second are what matters; the processor time that the server takes for a request says the same with less
noise, where others use the machine.
"""

import sys
from collections.abc import Callable, Iterator

import psutil
from planner_local.servers import free_port

from bench.ingest import event, without_ids
from bench.load import Requests, request
from bench.people import World
from bench.rows import PLANNER, Goal, Row, in_turns
from bench.stack import Plan, Stack, stack
from tests.system import answers, until

OFF = "without metrics"
GOALS = [Goal(OFF, ratio=0.97)]
ROUNDS = 5
"""For each round that is asked for: what is looked for is small."""


class Server:
    """An API that runs, and what it is asked."""

    def __init__(self, system: Stack, name: str, port: int) -> None:
        pid = system.pid(name)
        assert pid is not None  # for mypy
        self.system = system
        self.port = port
        self.process = psutil.Process(pid)
        self.milliseconds: list[float] = []

    def rate(self, requests: list[str], status: int, total: int) -> float:
        """Requests per second."""
        before = self._worked()
        answered = Requests(self.system.folder, self.port, requests, total, status=status).send()
        self.milliseconds.append((self._worked() - before) / total * 1000)
        return answered.per_second

    def _worked(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


def without(system: Stack) -> Server:
    """The API once more, with nothing counted."""
    with_metrics, port = system.api_port, free_port()
    system.commands["unmetered"] = [sys.executable, "-m", "bench.unmetered"]
    system.api_port = port
    system.start("unmetered")
    system.api_port = with_metrics
    until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the other API is ready")
    return Server(system, "unmetered", port)


def run(plan: Plan) -> Iterator[Row]:
    with stack(services=("api",)) as system:
        with system.connect() as database:
            world = World(database)
            (ann,) = world.people(1)
            walk = world.event(ann)
        servers = {PLANNER: Server(system, "api", system.api_port), OFF: without(system)}
        bearer = {"Authorization": ann.bearer}
        posts = [request("POST", "/api/v1/events", without_ids(event()), **bearer) for _ in range(100)]
        get = [request("GET", f"/api/v1/events/{walk}", **bearer)]

        def contestant(server: Server, requests: list[str], status: int, total: int) -> Callable[[], float]:
            return lambda: server.rate(requests, status, total)

        for what, requests, status, total in (
            ("POST /events, 10 participants", posts, 201, plan.size(2_000, 100)),
            ("GET /events/{id}, cached", get, 200, plan.size(4_000, 200)),
        ):
            contestants = {name: contestant(server, requests, status, total) for name, server in servers.items()}
            for name, server in servers.items():
                contestants[name]()  # whatever the first requests take longer for
                server.milliseconds.clear()
            samples = in_turns(contestants, plan.rounds * (1 if plan.smoke else ROUNDS))
            yield Row("metrics", what, "requests/s", samples, goals=GOALS)
            worked = {name: server.milliseconds[:] for name, server in servers.items()}
            yield Row("metrics", "processor time of each", "ms", worked, more=False, goals=GOALS)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.argv.insert(1, "metrics_cost")
    sys.exit(main())
