"""Mails from a change to a mail server: by the server's clock, from the first to the last.

The limit is a bare loop that sends a prepared mail over as many connections from as many processes; the peer a Celery
task for each mail. All send to one and the same server.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import ModuleType

from bench.peers import load
from bench.people import Someone, World
from bench.rows import LIMIT, PLANNER, Goal, Row, in_turns
from bench.stack import Plan, Stack, processes, stack
from tests.smtp import Sink
from tests.system import BIN, until

PROCESSES, CONNECTIONS = 2, 8
USUAL = "celery+smtplib"
UNFINISHED = "SELECT count(*) FROM deliveries WHERE finished_at IS NULL"
NUMBERS = count()


def rate(sink: Sink, before: int, mails: int) -> float:
    """Of the mails since the first so many."""
    until(lambda: len(sink.mails()) >= before + mails, "all mails are sent", 300, every=0.1)
    times = [mail.at for mail in sink.mails()[before:]]
    assert len(times) == mails
    return mails / (max(times) - min(times))


class Mailing:
    """What each contestant sends, to one sink."""

    def __init__(self, system: Stack, sink: Sink, organizer: Someone) -> None:
        self.system = system
        self.sink = sink
        self.organizer = organizer
        self.world = World(system.connect())

    def planner(self, mails: int) -> float:
        """People are told of a change of an event that they are in."""
        event = self.world.event(self.organizer, guests=mails)
        before = len(self.sink.mails())
        self.world.change(event, self.organizer, mails)
        reached = rate(self.sink, before, mails)
        until(lambda: self.world.database.execute(UNFINISHED).fetchone() == (0,), "all are written down")
        return reached

    def loop(self, mails: int, mail: Path) -> float:
        given = {"port": self.sink.port, "mail": str(mail), "mails": mails // PROCESSES, "connections": CONNECTIONS}
        before = len(self.sink.mails())
        command = [BIN / "python", "-m", "bench.peers.mail_loop", json.dumps(given)]
        loops = [subprocess.Popen(command) for _ in range(PROCESSES)]
        assert [loop.wait(120) for loop in loops] == [0] * PROCESSES
        return rate(self.sink, before, mails)

    def task(self, peer: ModuleType, mails: int) -> float:
        before = len(self.sink.mails())
        peer.send(f"peer-{next(NUMBERS)}@example.net" for _ in range(mails))
        return rate(self.sink, before, mails)


def settings(sink: Sink) -> dict[str, str]:
    return {"SMTP_URL": sink.url, "WORKER_PROCESSES": str(PROCESSES), "EMAIL_CONNECTIONS": str(CONNECTIONS)}


def run(plan: Plan) -> Iterator[Row]:
    mails, few = plan.size(10_000, 200), plan.size(1_000, 20)
    with ExitStack() as exits:
        system = exits.enter_context(stack(services=("dispatcher",)))
        kept = exits.enter_context(Sink(system.folder / "kept"))
        sink = exits.enter_context(Sink(system.folder / "fast", raw=False))
        (ann,) = World(system.connect()).people(1)
        system.settings = {**system.settings, **settings(kept)}
        system.start("worker")
        system.ready("worker")
        Mailing(system, kept, ann).planner(10)
        mail = system.folder / "mail"
        mail.write_bytes(kept.wait(10)[0].content)
        system.stop("worker")
        system.settings = {**system.settings, **settings(sink)}
        system.start("worker")
        system.ready("worker")
        environment = {"REDIS_URL": system.valkey.url(7), "SMTP_PORT": str(sink.port)}
        peer = load("mail_task", environment)
        exits.enter_context(processes(peer.WORKERS, environment, system.folder / "mail_task.log"))
        mailing = Mailing(system, sink, ann)
        mailing.task(peer, 10)
        contestants = {
            PLANNER: lambda: mailing.planner(mails),
            LIMIT: lambda: mailing.loop(mails, mail),
            USUAL: lambda: mailing.task(peer, few),
        }
        goals = [Goal(LIMIT, ratio=0.7), Goal(USUAL, ratio=5)]
        yield Row("email", f"{mails:,} mails", "mails/s", in_turns(contestants, plan.rounds), goals=goals)
