"""The same work with one process of a worker and with two: fan-out of many events at once, and mails.

More than one is of use where a processor is free for it: on two, PostgreSQL or the mail server has the other. What four
and eight would do is computed in docs/performance.md from what each piece of work costs.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from bench.email import Mailing, settings
from bench.people import World
from bench.rows import PLANNER, Row
from bench.stack import Plan, Stack, stack
from tests.smtp import Sink
from tests.system import until

ONE = "one process"
EVENTS = 20
WAITING = "SELECT count(*) FROM changes WHERE fanned_out_at IS NULL"


def with_processes(system: Stack, number: int) -> None:
    """Begin again with so many processes."""
    if "worker" in system.processes:
        system.stop("worker")
    system.settings = {**system.settings, "WORKER_PROCESSES": str(number)}
    system.start("worker")
    system.ready("worker")


def fan_out(world: World, people: int) -> float:
    """Notifications per second, of events that change all at once."""
    (organizer,) = world.people(1)
    events = [world.event(organizer, guests=people) for _ in range(EVENTS)]
    world.clear()
    started = time.perf_counter()
    for event in events:
        world.change(event, organizer, people)
    until(lambda: world.database.execute(WAITING).fetchone() == (0,), "all are told", 300)
    return EVENTS * people / (time.perf_counter() - started)


def run(plan: Plan) -> Iterator[Row]:
    people, mails = plan.size(20_000, 50), plan.size(10_000, 200)
    fanned: dict[str, list[float]] = {PLANNER: [], ONE: []}
    mailed: dict[str, list[float]] = {PLANNER: [], ONE: []}
    with stack(services=("dispatcher",)) as system, system.connect() as database:
        world = World(database)
        (ann,) = world.people(1)
        for _ in range(plan.rounds):
            for name, number in ((ONE, 1), (PLANNER, 2)):
                with_processes(system, number)
                fan_out(world, 100)
                fanned[name].append(fan_out(world, people))
    yield Row("scale", f"fan-out, {EVENTS} × {people:,}, two processes", "notifications/s", fanned)
    with stack(services=("dispatcher",)) as system, Sink(Path(system.folder) / "sink", raw=False) as sink:
        system.settings = {**system.settings, **settings(sink)}
        (ann,) = World(system.connect()).people(1)
        mailing = Mailing(system, sink, ann)
        for _ in range(plan.rounds):
            for name, number in ((ONE, 1), (PLANNER, 2)):
                with_processes(system, number)
                mailing.planner(10)
                mailed[name].append(mailing.planner(mails))
    yield Row("scale", f"{mails:,} mails, two processes", "mails/s", mailed)
