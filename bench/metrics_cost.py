"""What metrics cost: one process of the API, asked while it counts and while it does not, in short turns.

Requests per second are what matters; the processor time that the server takes for a request says the same with less
noise, where others use the machine.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator

import httpx
import psutil

from bench.ingest import event, without_ids
from bench.load import Requests, request
from bench.people import World
from bench.rows import PLANNER, Goal, Row, in_turns
from bench.stack import Plan, Stack, stack

OFF = "without metrics"
SIGNALS = {PLANNER: signal.SIGUSR2, OFF: signal.SIGUSR1}
GOALS = [Goal(OFF, ratio=0.97)]
ROUNDS = 20
"""For each round that is asked for: what is looked for is small."""


class Switched:
    """The API that runs, and what it takes to answer."""

    def __init__(self, system: Stack) -> None:
        pid = system.pid("api")
        assert pid is not None  # for mypy
        self.system = system
        self.process = psutil.Process(pid)
        self.counted = 0
        self.milliseconds: dict[str, list[float]] = {name: [] for name in SIGNALS}

    def contestants(self, requests: list[str], status: int, total: int) -> dict[str, Callable[[], float]]:
        """Requests per second, with metrics and without."""
        load = Requests(self.system.folder, self.system.api_port, requests, total, status=status)

        def rate(name: str) -> float:
            os.kill(self.process.pid, SIGNALS[name])
            before = self._worked()
            answered = load.send()
            self.milliseconds[name].append((self._worked() - before) / total * 1000)
            self.counted += total if name == PLANNER else 0
            return answered.per_second

        return {name: lambda name=name: rate(name) for name in SIGNALS}  # type: ignore[misc]

    def _worked(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def check(self) -> None:
        """Raise ValueError unless it counted the requests that it was to count, and no others."""
        text = httpx.get(self.system.metrics["api"], trust_env=False).text
        found = re.findall(r'^planner_http_requests_total\{.*route="/api/v1/events.* (\S+)$', text, re.MULTILINE)
        if (there := sum(map(float, found))) != self.counted:
            raise ValueError(f"{there:g} requests were counted, and {self.counted} asked while metrics were on")


def run(plan: Plan) -> Iterator[Row]:
    with stack(services=()) as system:
        system.commands["api"] = [sys.executable, "-m", "bench.switched"]
        system.start("api")
        system.ready("api")
        with system.connect() as database:
            world = World(database)
            (ann,) = world.people(1)
            walk = world.event(ann)
        bearer = {"Authorization": ann.bearer}
        posts = [request("POST", "/api/v1/events", without_ids(event()), **bearer) for _ in range(100)]
        get = [request("GET", f"/api/v1/events/{walk}", **bearer)]
        api = Switched(system)
        for what, requests, status, total in (
            ("POST /events, 10 participants", posts, 201, plan.size(300, 50)),
            ("GET /events/{id}, cached", get, 200, plan.size(600, 50)),
        ):
            contestants = api.contestants(requests, status, total)
            for contestant in contestants.values():
                contestant()  # whatever the first requests take longer for
            for spent in api.milliseconds.values():
                spent.clear()
            samples = in_turns(contestants, plan.rounds * (1 if plan.smoke else ROUNDS))
            yield Row("metrics", what, "requests/s", samples, goals=GOALS)
            spent_on = {name: spent[:] for name, spent in api.milliseconds.items()}
            yield Row("metrics", "processor time of each", "ms", spent_on, more=False, goals=GOALS)
        api.check()


if __name__ == "__main__":
    from bench.__main__ import main

    sys.argv.insert(1, "metrics_cost")
    sys.exit(main())
