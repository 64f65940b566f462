"""One run: the whole system under load and faults, healed, drained, and checked.

    python -m tests.faults.run --seed 1 --seconds 300

Prints a table, writes `result.json` beside the ledgers and logs, and exits with 1 if anything is wrong.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
from planner_common.people import person_id
from planner_local.client import Person, connect

from tests.faults.asking import Asker, Pace
from tests.faults.checker import Verdict, check
from tests.faults.evidence import gather
from tests.faults.faults import REFUSED, SPECS, Scene
from tests.faults.ledger import Ledger
from tests.faults.nemesis import Nemesis
from tests.faults.probes import Probes
from tests.faults.report import result, table
from tests.faults.schedule import Planned, schedule
from tests.faults.workload import Client
from tests.faults.writes import Book
from tests.smtp import Sink
from tests.system import BIN, System

SERVICES = ("api", "dispatcher", "worker", "worker-2")
SETTINGS = {
    "LEASE_SECONDS": "2",
    "DELIVERY_LEASE_SECONDS": "6",
    "RETRY_BASE_SECONDS": "1",
    "RETRY_CAP_SECONDS": "5",
    "BREAKER_SECONDS": "2",
    "EMAIL_TRIES": "1000",  # no mail is given up for the faults of a run
    "REACH_PER_HOUR": "0",
    "AUDIT_SECONDS": "0",
    "ACCESS_TOKEN_SECONDS": "86400",
}
ACCOUNTS = 40
CLIENTS = 32
GIVE_UP_SECONDS = 30.0
"""How long after the last fault clients go on asking."""
LEFT = """
    SELECT (SELECT count(*) FROM changes WHERE fanned_out_at IS NULL AND held_at IS NULL),
           (SELECT count(*) FROM deliveries WHERE finished_at IS NULL)
"""

# Where to look when something took long: the deliveries that did, but for those of crowds, with what became of them.
LATEST = """
    SELECT json_build_object(
               'delivery', d.id, 'change', d.change_id, 'state', d.state, 'created', d.created_at, 'due', d.due_at,
               'finished', d.finished_at, 'claims', d.claims, 'tries', d.tries, 'reason', d.reason,
               'attempts', (SELECT json_agg(to_jsonb(a) - 'delivery_id' ORDER BY a.number)
                              FROM delivery_attempts a WHERE a.delivery_id = d.id)
           )
      FROM deliveries d WHERE lane < 2
     ORDER BY COALESCE(d.finished_at, 'infinity') - d.created_at DESC LIMIT 20
"""


@dataclass
class Options:
    seed: int
    seconds: float
    rate: float
    folder: Path
    crowds: bool = True
    drain_seconds: float = 120
    """The longest that draining is waited for."""
    planned: Sequence[Planned] | None = None
    """The faults, where they are not to be drawn by the seed."""
    commands: Mapping[str, list[str]] = field(default_factory=dict)
    """What is run instead of the services, by name."""


class Run:
    def __init__(
        self, options: Options, thread: Executor, system: System, sink: Sink, clients: Ledger, faults: Ledger
    ) -> None:
        """`thread`: one, in which the nemesis lives, and which outlives the system."""
        self.options = options
        self.thread = thread
        self.system = system
        self.sink = sink
        self.clients = clients
        self.faults = faults
        self.book = Book(clients)
        self.asker = Asker(Random(f"asker {options.seed}"), lambda: self.gave_up)  # noqa: S311
        self.started = 0.0
        self.gave_up = False
        self.faults_over = asyncio.Event()

    async def load(self) -> None:
        """Load, faults, healing and draining. Returns also if it does not drain."""
        loop = asyncio.get_running_loop()
        async with connect(self.system.url) as http:
            people = await self.people(http)
            self.probes = Probes(people[0], people[1], self.asker, self.book, self.faults, self.sink)
            nemesis = Nemesis(
                Scene(self.system, self.sink),
                self.faults,
                lambda one, error: loop.call_soon_threadsafe(self.probe, one, "caught", error),
                lambda one, error: loop.call_soon_threadsafe(self.probe, one, "after", error),
            )
            nemesis.scene.disturb_mail()
            self.started = time.monotonic()
            planned = self.options.planned
            if planned is None:
                planned = list(schedule(self.options.seed, self.options.seconds, SPECS))
            unleashed = loop.run_in_executor(self.thread, nemesis.run, planned)
            looking = asyncio.create_task(self.probes.look(lambda: self.faults_over.is_set() or self.gave_up))
            working = asyncio.create_task(self.work(people[2:]))
            try:
                await unleashed
                await self.sleep(self.started + self.options.seconds - time.monotonic())
                self.faults_over.set()
                await loop.run_in_executor(self.thread, nemesis.heal)
                watching = loop.run_in_executor(self.thread, nemesis.watch)
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(working), GIVE_UP_SECONDS)
                self.gave_up = True
                await working
                await self.drained()
                with suppress(TimeoutError):
                    await asyncio.wait_for(looking, 5)
                nemesis.done.set()
                await watching
                await loop.run_in_executor(self.thread, nemesis.end_orphans)
            finally:
                nemesis.done.set()
                self.gave_up = True

    def probe(self, planned: Planned, stage: str, error: str | None) -> None:
        if error is None:
            self.probes.make(planned.number, stage)

    async def people(self, http: httpx.AsyncClient) -> list[Person]:
        """The accounts; each fourth wants to hear of answers by mail."""
        people = [Person(http, f"person-{number}@example.net", password="long enough") for number in range(ACCOUNTS)]
        for number, person in enumerate(people):
            await person.register()
            if number % 4 == 3:
                wanted = (await person.call("GET", "/me/preferences")).json()
                wanted["email"]["kinds"].append("response")
                await person.call("PUT", "/me/preferences", json=wanted)
        return people

    async def work(self, people: Sequence[Person]) -> None:
        lots = Random(f"workload {self.options.seed}")  # noqa: S311
        pace = Pace(self.options.rate)
        accounts = {person.email: person for person in people}
        make = partial(Client, organizers=people, accounts=accounts, asker=self.asker, book=self.book, pace=pace)
        over = self.faults_over.is_set
        clients = [make(Random(lots.random()), over=over) for _ in range(CLIENTS)]  # noqa: S311
        crowds = [clients[0].gather_crowds(self.sleep)] if self.options.crowds else []
        await asyncio.gather(*(client.run() for client in clients), *crowds)
        self.clients.write("over", seconds=time.monotonic() - self.started)

    async def sleep(self, seconds: float) -> None:
        """For so long, or until the faults are over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.faults_over.wait(), seconds)

    async def drained(self) -> None:
        """Wait until nothing is left to do."""
        deadline = time.monotonic() + self.options.drain_seconds
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError), self.system.connect() as connection:
                if connection.execute(LEFT).fetchone() == (0, 0):
                    self.faults.write("drained")
                    return
            await asyncio.sleep(0.1)


def audit(system: System) -> dict[str, Any]:
    """What `planner audit` says."""
    command = [str(BIN / "planner"), "audit", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=dict(system._environment()))
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {"error": done.stdout[-500:] + done.stderr[-2000:]}
    return {"status": done.returncode, **found}


def run(options: Options, prepare: Callable[[System], None] = lambda _system: None) -> dict[str, Any]:
    """Run once and return the result, which is in `result.json` too. `prepare` is called with the running system."""
    options.folder.mkdir(parents=True, exist_ok=True)
    sink = Sink(options.folder / "sink", raw=False, seed=options.seed)
    settings = {**SETTINGS, "SMTP_URL": sink.url}
    system = System(options.folder / "system", settings=settings, killable=True, services=SERVICES)
    system.commands |= options.commands
    with (
        Ledger(options.folder / "clients.jsonl") as clients,
        Ledger(options.folder / "faults.jsonl") as faults,
        ThreadPoolExecutor(1, "nemesis") as thread,
        sink,
        system,
    ):
        prepare(system)
        one = Run(options, thread, system, sink, clients, faults)
        asyncio.run(one.load())
        with system.connect() as connection:
            evidence = gather(options.folder / "clients.jsonl", connection, options.folder / "sink" / "ledger.jsonl")
        verdict: Verdict = check(evidence, {person_id(address) for address in REFUSED})
        audited = audit(system)
        found = result(options, verdict, audited, dict(one.asker.faults))
        with system.connect() as connection:
            found["latest"] = [row[0] for row in connection.execute(LATEST)]
    (options.folder / "result.json").write_text(json.dumps(found, indent=1))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=70, help="writes per second that the clients aim at")
    parser.add_argument("--folder", type=Path, help="where ledgers, logs and the result go (default: a new one)")
    parser.add_argument("--no-crowds", action="store_true", help="leave out the events with 2,000 people")
    parser.add_argument("--keep", action="store_true", help="keep the databases even if all is well")
    given = parser.parse_args()
    # Not below a folder of a user alone: PostgreSQL may run as another one.
    folder = given.folder or Path(tempfile.mkdtemp(prefix="planner-faults-"))
    found = run(Options(given.seed, given.seconds, given.rate, folder.resolve(), crowds=not given.no_crowds))
    sys.stdout.write(table(found))
    if found["ok"] and not given.keep:
        shutil.rmtree(folder / "system" / "postgres", ignore_errors=True)
    sys.stdout.write(f"\nledgers, logs and result.json: {folder}\n")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
