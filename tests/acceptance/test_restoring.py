"""Planner is lost and restored from a backup: nothing is mailed twice by itself, and nothing is lost silently."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from planner_local.backup import BackupError, back_up, check, restore
from planner_local.client import Person, connect

from tests.acceptance.test_delivering import SETTINGS, dinner
from tests.smtp import Rule, Sink
from tests.system import System, until

pytestmark = pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system's database is not ours to replace")

PLANNER = Path(sys.executable).with_name("planner")
FIRST = {"If-Match": '"1"'}
SERVICES = ("api", "dispatcher", "worker")


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="planner-test-") as folder:
        yield Path(folder)


@pytest.fixture
def sink(folder: Path) -> Iterator[Sink]:
    with Sink(folder / "sink") as sink:
        yield sink


@pytest.fixture
def system(folder: Path, sink: Sink) -> Iterator[System]:
    with System(folder, settings={**SETTINGS, "SMTP_URL": sink.url, "RETRY_CAP_SECONDS": "2"}) as system:
        yield system


def planner(system: System, *arguments: str) -> Any:
    return json.loads(run(system, *arguments, "--json"))


def run(system: System, *arguments: str) -> str:
    environment = {**os.environ, "DATABASE_URL": system.postgres.url()}
    done = subprocess.run([PLANNER, *arguments], check=False, capture_output=True, text=True, env=environment)
    assert done.stdout, done.stderr
    return done.stdout


def mailed(sink: Sink) -> list[str]:
    return [recipient.partition("@")[0] for mail in sink.mails() for recipient in mail.recipients]


def settled(system: System) -> bool:
    with system.connect() as connection:
        changes = "SELECT FROM changes WHERE fanned_out_at IS NULL"
        deliveries = "SELECT FROM deliveries WHERE finished_at IS NULL"
        return not connection.execute(f"SELECT WHERE EXISTS ({changes}) OR EXISTS ({deliveries})").rowcount


@pytest.mark.timeout(300)
async def test_what_may_have_been_sent_is_not_sent_again(system: System, sink: Sink, folder: Path) -> None:
    backup = folder / "planner.dump"
    run(system, "migrate")  # as before every start
    async with connect(system.url) as http:
        ann = await Person(http, "ann@example.org", "Ann").register()
        bob = await Person(http, "bob@example.org", "Bob").register()

        async def invite(guest: str, title: str) -> dict[str, Any]:
            event: dict[str, Any] = (await ann.call("POST", "/events", json=dinner(guest, title=title))).json()
            return event

        # In the backup: one that is sent, one that is tried again and again, one that is not even told.
        first = f"/events/{(await invite('bob@example.org', 'Sent'))['id']}"
        until(lambda: settled(system), "the first is sent")
        sink.behave(Rule("RCPT", "451 4.3.0 not now"))
        await invite("bob@example.org", "Tried")
        with system.connect() as connection:
            tried = "SELECT FROM delivery_attempts WHERE outcome = 'later'"
            until(lambda: connection.execute(tried).rowcount, "the second was tried")
        system.stop("dispatcher")
        await invite("bob@example.org", "Untold")
        back_up(system.postgres, backup)

        # After it: all of them are sent, and one more, and an event changes. Then it is lost.
        system.start("dispatcher")
        sink.behave()
        await invite("cat@example.org", "Lost")
        await ann.call("PATCH", first, json={"title": "Changed, and lost"}, headers=FIRST)
        until(lambda: settled(system), "all is sent")
        assert (await ann.call("GET", first)).json()["title"] == "Changed, and lost"  # and is in the cache
        before = {mail.id for mail in sink.mails()}
        assert sorted(mailed(sink)) == ["bob"] * 4 + ["cat"]

    for name in SERVICES:
        system.stop(name)
    said = restore(system.postgres, backup)
    assert "it was restored from a backup: 1 deliveries are quarantined, and those of 1 changes will be" in said
    assert said.endswith("nothing is new to quarantine\n")
    for name in SERVICES:
        system.start(name)
    for name in SERVICES:
        system.ready(name)

    async with connect(system.url) as http:
        ann, bob = replace(ann, http=http), replace(bob, http=http)
        # What is new is sent, in its turn, so that what was before it would have been.
        await ann.call("PATCH", first, json={"title": "Changed anew"}, headers=FIRST)
        until(lambda: settled(system), "all is told")
        assert (await ann.call("GET", first)).json()["title"] == "Changed anew"
        assert sorted(mailed(sink)) == ["bob"] * 5 + ["cat"]
        inbox = (await bob.call("GET", "/notifications")).json()["items"]
        assert sorted(item["event"]["title"] for item in inbox) == ["Changed anew", "Changed anew", "Tried", "Untold"]
        quarantined = planner(system, "dead", "list", "--reason", "quarantined")
        assert {each["event"]["title"] for each in quarantined} == {"Tried", "Untold"}
        found = planner(system, "audit")
        assert (found["ok"], found["information"]["quarantined"]) == (True, 2)

        assert planner(system, "dead", "replay", "--all", "--reason", "quarantined") == {"replayed": 2}
        until(lambda: settled(system), "the quarantined are sent")
        assert sorted(mailed(sink)) == ["bob"] * 7 + ["cat"]
        again = [mail.id for mail in sink.mails() if mail.id in before]
        assert len(again) - len(before) == 1  # under the id that it had; the other had none in the backup
        assert planner(system, "audit")["ok"]


def test_a_backup_is_whole_or_not_there(system: System, folder: Path) -> None:
    backup = folder / "planner.dump"
    back_up(system.postgres, backup)
    assert backup.stat().st_mode & 0o777 == 0o600
    whole = backup.read_bytes()
    backup.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(BackupError, match="pg_restore"):
        check(system.postgres, backup)
    for name in SERVICES:
        system.stop(name)
    with pytest.raises(BackupError):
        restore(system.postgres, backup)
    with system.connect() as connection:
        assert connection.execute("SELECT FROM changes").rowcount == 0  # the database is in its place
    system.postgres.stop()
    with pytest.raises(BackupError, match="pg_dump: error: connection"):
        back_up(system.postgres, folder / "other.dump")
    assert [file.name for file in folder.glob("other*")] == []
