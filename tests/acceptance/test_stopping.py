"""A worker that is told to stop ends what is under way: what it cut off might have arrived, and nobody would know."""

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from planner_local import stack
from planner_local.client import Person, connect
from planner_worker.__main__ import STOP_SECONDS
from planner_worker.channels import apprise, calls, email, webhook
from planner_worker.delivery.sending import BEGIN_SECONDS

from tests import system as testing
from tests.smtp import Rule, Sink
from tests.system import System, until

COMPOSE = (Path(__file__).parents[2] / "compose.yaml").read_text()


@pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system's mail server is not ours")
async def test_a_message_that_is_under_way_is_sent_and_written_down() -> None:
    with (
        TemporaryDirectory(prefix="planner-test-") as folder,
        Sink(Path(folder) / "sink") as sink,
        System(Path(folder), settings={"SMTP_URL": sink.url, "AUDIT_SECONDS": "0"}) as system,
    ):
        sink.behave(Rule("END", "wait 3"))
        async with connect(system.url) as http:
            ann = await Person(http, "ann@example.org", "Ann").register()
            await ann.call("POST", "/events", json=DINNER)
        with system.connect() as connection:
            sending = "SELECT count(*) FROM deliveries WHERE sending"
            until(lambda: connection.execute(sending).fetchone() == (1,), "a mail is under way")
            assert system.stop("worker") == 0
            state = connection.execute("SELECT state, outcome_unknown, sending FROM deliveries").fetchall()
        assert state == [("sent", False, False)]
        assert len(sink.mails()) == 1


@pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system's processes are not ours")
async def test_each_service_stops_and_starts_under_load_and_nothing_is_lost_or_doubled() -> None:
    """Within its grace, and with the exit status of an orderly end; what was answered was kept, and is told once."""
    with (
        TemporaryDirectory(prefix="planner-test-") as folder,
        Sink(Path(folder) / "sink", raw=False) as sink,
        System(Path(folder), settings={"SMTP_URL": sink.url, "AUDIT_SECONDS": "0"}) as system,
    ):
        sink.behave(Rule("END", "wait 0.2"))  # so that there is always something under way
        made: list[str] = []

        async def make_events() -> None:
            async with connect(system.url) as http:
                ann = await Person(http, "ann@example.org", "Ann").register()
                while True:
                    with suppress(httpx.TransportError):
                        made.append((await ann.call("POST", "/events", json=DINNER)).json()["id"])

        making = asyncio.create_task(make_events())
        for service in ("api", "dispatcher", "worker"):
            before = len(made)
            await asyncio.to_thread(until, lambda: len(made) > before + 20, "more events")  # noqa: B023
            assert await asyncio.to_thread(system.stop, service) == 0
            system.start(service)
            await asyncio.to_thread(system.ready, service)
        making.cancel()
        await asyncio.wait([making])
        assert await asyncio.to_thread(system.faults) == (0, 0, 0)
        with system.connect() as connection:
            kept = connection.execute("SELECT id::text FROM events").fetchall()
            assert {id_ for (id_,) in kept} >= set(made)
            finished = "SELECT count(*) FROM deliveries WHERE state <> 'sent'"
            await asyncio.to_thread(until, lambda: connection.execute(finished).fetchone() == (0,), "all is sent")
        ids = [mail.id for mail in sink.mails()]
        assert len(ids) == len(set(ids)) == len(kept)


def test_a_stop_takes_longer_than_any_try_and_is_waited_for() -> None:
    longest = max(email.TOTAL_SECONDS, webhook.SECONDS, apprise.SECONDS + calls.GRACE_SECONDS)
    assert BEGIN_SECONDS + longest < STOP_SECONDS
    worker = COMPOSE.partition("\n  worker:\n")[2].partition("\n\n")[0]
    [grace] = re.findall(r"stop_grace_period: (\d+)s", worker)
    assert min(int(grace), stack.GRACE_SECONDS, testing.STOP_SECONDS) >= STOP_SECONDS + 5


DINNER = {
    "title": "Dinner",
    "start": {"date_time": "2030-05-01T19:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2030-05-01T22:00:00", "time_zone": "Europe/Berlin"},
    "participants": [{"email": "ben@example.net"}],
}
