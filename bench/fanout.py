"""One event with very many participants: from the commit of a change to the last notification.

The limit is the same rows inserted into the same table by one statement and nothing else. Peers send a task for each
recipient; their rate does not depend on how many there are, so they are measured with fewer.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from types import ModuleType

import psycopg

from bench.peers import load
from bench.people import World
from bench.rows import LIMIT, PLANNER, Contestant, Goal, Row, in_turns
from bench.stack import Plan, Stack, processes, stack
from tests.system import until

NUMBERS = count(1_000_000_000)
"""For changes that exist in name only."""
PEERS = ("celery", "dramatiq", "taskiq", "procrastinate")
GOALS = [Goal(LIMIT, ratio=0.6)]
LARGE = 100_000
"""From here on a single statement is what matters, not the way to it."""

TOLD = "SELECT fanned_out_at FROM changes WHERE id = %s AND fanned_out_at IS NOT NULL"
BY_HAND = """
    INSERT INTO notifications (change_id, person_id)
    SELECT %s, person_id FROM participants WHERE event_id = %s ORDER BY person_id
"""


class Fair:
    """An event with so many people, about which each contestant tells all of them again and again."""

    def __init__(self, system: Stack, people: int) -> None:
        self.people = people
        self.database = system.connect()
        self.world = World(self.database)
        (self.organizer,) = self.world.people(1)
        self.event = self.world.event(self.organizer, guests=people)

    def planner(self) -> float:
        """Notifications per second, from the commit on."""
        self.world.clear()
        change = self.world.change(self.event, self.organizer, self.people)
        committed = time.perf_counter()
        until(lambda: self.database.execute(TOLD, [change]).fetchone(), "all are told", 600, every=0.002)
        return self.people / (time.perf_counter() - committed)

    def limit(self) -> float:
        self.world.clear()
        started = time.perf_counter()
        self.database.execute(BY_HAND, [next(NUMBERS), self.event])
        return self.people / (time.perf_counter() - started)


class Peer:
    """A peer whose workers run."""

    def __init__(self, module: ModuleType, database: psycopg.Connection[tuple[object, ...]], people: list[str]) -> None:
        self.module = module
        self.database = database
        self.people = people

    def rate(self) -> float:
        """Notifications per second."""
        World(self.database).clear()
        started = time.perf_counter()
        self.module.send(next(NUMBERS), self.people)
        count_all = "SELECT count(*) = %s FROM notifications"
        until(lambda: self.database.execute(count_all, [len(self.people)]).fetchone() == (True,), "all are told", 600)
        return len(self.people) / (time.perf_counter() - started)


def peer(exits: ExitStack, system: Stack, name: str, people: list[str]) -> Contestant:
    """Start a peer's workers, and let it tell one person, so that it has begun."""
    module = load(f"with_{name}", system.for_peers())
    if prepare := getattr(module, "prepare", None):
        prepare()
    exits.enter_context(processes(module.WORKERS, system.for_peers(), system.folder / f"{name}.log"))
    database = exits.enter_context(system.connect())
    Peer(module, database, people[:1]).rate()
    return Peer(module, database, people).rate


def run(plan: Plan) -> Iterator[Row]:
    with stack(services=("dispatcher", "worker")) as system:
        for people in (100, 1_000) if plan.smoke else (100, 10_000, 100_000, 1_000_000):
            fair = Fair(system, people)
            fair.planner()
            samples = in_turns({PLANNER: fair.planner, LIMIT: fair.limit}, plan.rounds)
            yield Row(
                "fanout",
                f"{people:,} participants",
                "notifications/s",
                samples,
                goals=GOALS if people >= LARGE else [],
            )
        with ExitStack() as exits:
            few = [
                str(person)
                for (person,) in fair.database.execute(
                    "SELECT person_id FROM participants LIMIT %s", [plan.size(3_000, 100)]
                )
            ]
            peers = {name: peer(exits, system, name, few) for name in PEERS}
            samples = in_turns({PLANNER: fair.planner, **peers}, plan.rounds)
            yield Row(
                "fanout",
                f"{people:,}, peers {len(few):,}",
                "notifications/s",
                samples,
                goals=[Goal("celery", ratio=150)],
            )
