"""What metrics cost: one process of the API under load, which counts and does not count in short turns.

Requests per second are what matters; the processor time that the server takes for a request says the same with less
noise, where others use the machine.
"""

import sys
from collections.abc import Iterator

import httpx

from bench.ingest import event, without_ids
from bench.load import Requests, request
from bench.people import World
from bench.rows import PLANNER, Goal, Row
from bench.stack import Plan, Stack, stack
from bench.switched import BLOCK

OFF = "without metrics"
GOALS = [Goal(OFF, ratio=0.97)]
TURNS = 200
"""For each round that is asked for: what is looked for is small."""


def measure(system: Stack, requests: list[str], status: int, turns: int) -> dict[str, list[list[float]]]:
    """What the turns took, in seconds by the clock and of the processor."""
    Requests(system.folder, system.api_port, requests, turns * BLOCK, status=status).send()
    answer = httpx.get(f"{system.url}/turns", trust_env=False).raise_for_status()
    took: dict[str, list[list[float]]] = answer.json()
    return took


def run(plan: Plan) -> Iterator[Row]:
    turns = plan.size(plan.rounds * TURNS, 4)
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
        for what, requests, status in (
            ("POST /events, 10 participants", posts, 201),
            ("GET /events/{id}, cached", get, 200),
        ):
            measure(system, requests, status, 4)  # whatever the first requests take longer for
            took = measure(system, requests, status, turns)
            names = {PLANNER: took["on"], OFF: took["off"]}
            rates = {name: [BLOCK / clock for clock, _ in turn] for name, turn in names.items()}
            spent = {name: [processor / BLOCK * 1000 for _, processor in turn] for name, turn in names.items()}
            yield Row("metrics", what, "requests/s", rates, goals=GOALS)
            yield Row("metrics", "processor time of each", "ms", spent, more=False, goals=GOALS)


if __name__ == "__main__":
    from bench.__main__ import main

    sys.argv.insert(1, "metrics_cost")
    sys.exit(main())
