"""10,000 mails from a change to a mail server, beside a bare loop that does nothing but send as many over as many
connections: both to the same sink, in the same run, in turns.

Measures, so it needs a machine that does nothing else: `pytest -s -m slow tests/acceptance/test_ten_thousand_mails.py`.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from planner_local.client import Person, connect

from tests.smtp import Sink
from tests.system import System, until

MAILS = 10_000
PROCESSES, CONNECTIONS = 2, 8
ROUNDS = 3
TO_REACH = 0.7
UNFINISHED = "SELECT count(*) FROM deliveries WHERE finished_at IS NULL"

BARE = """
import asyncio, json, sys
from aiosmtplib import SMTP
given = json.loads(sys.argv[1])
mail = open(given["mail"], "rb").read()

async def one(numbers):
    async with SMTP(hostname="127.0.0.1", port=given["port"], start_tls=False) as server:
        for number in numbers:
            await server.sendmail("planner@example.org", [f"bare-{number}@example.net"], mail)

async def main():
    share = range(given["mails"])
    await asyncio.gather(*(one(share[start::given["connections"]]) for start in range(given["connections"])))

asyncio.run(main())
"""


def bare(sink: Sink, mail: Path) -> float:
    """Mails per second of as many processes and connections as the worker has, sending one prepared mail."""
    given = {"port": sink.port, "mail": str(mail), "mails": MAILS // PROCESSES, "connections": CONNECTIONS}
    before = len(sink.mails())
    loops = [subprocess.Popen([sys.executable, "-c", BARE, json.dumps(given)]) for _ in range(PROCESSES)]
    assert [loop.wait(120) for loop in loops] == [0] * PROCESSES
    return rate(sink, before)


def rate(sink: Sink, before: int) -> float:
    """Of the mails since the first so many, by the sink's clock."""
    times = [mail.at for mail in sink.mails()[before:]]
    assert len(times) == MAILS
    return MAILS / (max(times) - min(times))


async def ours(system: System, sink: Sink, ann: Person, number: int) -> tuple[float, float]:
    """Mails per second; and, from the answer to the request, until all was written down."""
    time_of = {"time_zone": "Europe/Berlin"}
    event = {
        "title": f"Assembly {number}",
        "start": {"date_time": "2030-05-01T19:00:00", **time_of},
        "end": {"date_time": "2030-05-01T22:00:00", **time_of},
    }
    made = (await ann.call("POST", "/events", json=event)).json()["id"]
    everyone = {"participants": [{"email": f"guest-{number}-{guest}@example.net"} for guest in range(MAILS)]}
    before = len(sink.mails())
    await ann.call("POST", f"/events/{made}/participants", json=everyone)
    answered = time.monotonic()
    with system.connect() as connection:
        until(lambda: len(sink.mails()) >= before + MAILS, "all mails are sent", 120, every=0.2)
        until(lambda: connection.execute(UNFINISHED).fetchone() == (0,), "all are written down")
    return rate(sink, before), time.monotonic() - answered


async def one_of_ours(sink: Sink, ann: Person) -> bytes:
    """What the bare loop sends is as long."""
    start = {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"}
    end = {**start, "date_time": "2030-05-01T22:00:00"}
    event = {"title": "One", "start": start, "end": end, "participants": [{"email": "one@example.net"}]}
    await ann.call("POST", "/events", json=event)
    return sink.wait(1)[0].content


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_ten_thousand_mails() -> None:
    settings = {"WORKER_PROCESSES": str(PROCESSES), "EMAIL_CONNECTIONS": str(CONNECTIONS), "AUDIT_SECONDS": "0"}
    ratios = []
    with (
        TemporaryDirectory(prefix="planner-test-") as name,
        Sink(Path(name) / "first") as first,
        Sink(Path(name) / "fast", raw=False) as sink,
        System(Path(name), settings={**settings, "SMTP_URL": first.url}) as system,
    ):
        async with connect(system.url) as http:
            ann = await Person(http, "ann@example.org", "Ann").register()
            mail = Path(name) / "mail"
            prepared = await one_of_ours(first, ann)
            await asyncio.to_thread(mail.write_bytes, prepared)
            system.stop("worker")
            system.settings = {**settings, "SMTP_URL": sink.url}
            system.start("worker")
            system.ready("worker")
            for number in range(ROUNDS):
                limit = await asyncio.to_thread(bare, sink, mail)
                reached, seconds = await ours(system, sink, ann, number)
                ratios.append(reached / limit)
                said = f"bare loop {limit:,.0f}/s · Planner {reached:,.0f}/s, all written down after {seconds:.1f} s"
                print(f"\n{said} · {ratios[-1]:.2f}")  # noqa: T201  # what it is for
    assert statistics.median(ratios) >= TO_REACH
