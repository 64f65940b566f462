"""A worker that is told to stop ends what is under way: what it cut off might have arrived, and nobody would know."""

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from planner_local import stack
from planner_local.client import Person, connect
from planner_worker.__main__ import STOP_SECONDS
from planner_worker.channels import apprise, email, plugins, webhook
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


def test_a_stop_takes_longer_than_any_try_and_is_waited_for() -> None:
    longest = max(email.TOTAL_SECONDS, webhook.SECONDS, apprise.SECONDS + plugins.GRACE_SECONDS)
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
