"""Logs tell what happened and to what, and nothing of people: real processes that say all they can say, a scenario in
which everything that must not be said is a telling string, and a look at every line."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
import pytest
from planner_local.client import ApiError, Person, connect

from tests.hooks import HookSink
from tests.smtp import Rule, Sink
from tests.system import BIN, System, until

pytestmark = pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system's logs are not ours")

TELLING = "xyzzy"
"""In every password, token, name, title, address and URL of this scenario, and in no other thing."""
ANN, BOB, GONE = f"ann-{TELLING}@example.org", f"bob@{TELLING}.example.org", f"gone-{TELLING}@example.net"
PASSWORD = f"{TELLING} is the password"
OWN_ID = "order-66/a.b:c"
SETTINGS = {
    "LOG_LEVEL": "debug",
    "MAIL_FROM": f"Planner <planner@{TELLING}.example.org>",
    "RETRY_BASE_SECONDS": "0.1",
    "RETRY_CAP_SECONDS": "0.2",
    "BREAKER_SECONDS": "0.2",
    "EMAIL_TRIES": "2",
    "WEBHOOK_TRIES": "2",
    "APPRISE_TRIES": "2",
    "WEBHOOK_HTTP": "true",
    "OUTBOUND_NETWORKS": "127.0.0.0/8",
    "SIGNING_KEY": f"{TELLING}, a key for tests, which is long enough",
    "ENCRYPTION_KEYS": f"{TELLING}, another key for tests, which is long enough",
}
LUNCH = {
    "title": f"Lunch {TELLING}",
    "description": f"with {TELLING}",
    "location": TELLING,
    "start": {"date": "2031-05-01"},
    "end": {"date": "2031-05-02"},
    "participants": [{"email": BOB, "name": TELLING}, {"email": GONE}],
}
# An error of the database that quotes whatever it can.
QUOTING = f"""
    CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'broken on purpose' USING DETAIL = 'the row of {BOB}', HINT = 'ask {TELLING}';
    END $$;
    CREATE TRIGGER quote BEFORE INSERT ON notifications EXECUTE FUNCTION quote()
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="planner-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def sinks(folder: Path) -> Iterator[tuple[Sink, HookSink]]:
    with Sink(folder / "sink") as sink, HookSink(folder / "hooks") as hooks:
        yield sink, hooks


@pytest.fixture(scope="module")
def system(folder: Path, sinks: tuple[Sink, HookSink]) -> Iterator[System]:
    sink, hooks = sinks
    settings = {**SETTINGS, "SMTP_URL": sink.url, "OUTBOUND_PORTS": str(hooks.port)}
    with System(folder / "system", settings=settings) as system:
        yield system


async def channels(bob: Person, hooks: HookSink) -> list[str]:
    """A webhook and a service of Apprise, each verified by the code that came. Returns the codes."""
    codes = []
    for kind, url in (
        ("webhook", f"http://127.0.0.1:{hooks.port}/{TELLING}?token={TELLING}"),
        ("apprise", f"json://{TELLING}:{TELLING}@127.0.0.1:{hooks.port}/{TELLING}"),
    ):
        body = {"type": kind, "name": TELLING, "url": url}
        before = len(hooks.taken())
        channel = (await bob.call("POST", "/me/channels", json=body)).json()["id"]
        code = re.findall(r"(?<![\d.:])\d{6}(?!\d)", hooks.wait_for(before + 1)[-1].content.decode())[0]
        await bob.call("POST", f"/me/channels/{channel}/verify", json={"code": code})
        codes.append(code)
    return codes


async def nonsense(http: httpx.AsyncClient, ann: Person) -> None:
    """Requests that are refused, each with something in it that must not be told."""
    await http.post("/api/v1/auth/token", data={"username": ANN, "password": f"not {PASSWORD}"})
    await http.post("/api/v1/auth/register", json={"email": ANN, "password": PASSWORD, "name": TELLING})
    await http.get(f"/api/v1/{TELLING}", params={"token": TELLING}, headers={"Authorization": f"Bearer {TELLING}"})
    await http.get(f"/unsubscribe/{TELLING}")
    await http.post("/api/v1/events", content=f'{{"{TELLING}', headers={"Content-Type": "application/json"})
    for hostile in (
        f"id of {TELLING}",
        f"{TELLING}@example.org",
        f'{{"{TELLING}": 1}}',
        f"https://a.example/{TELLING}",
    ):
        await http.get("/healthz", headers={"X-Request-ID": hostile, "X-Forwarded-For": TELLING})
    for body in ({**LUNCH, "title": TELLING * 1000}, {**LUNCH, "participants": [{"email": f"{TELLING}@"}]}):
        with pytest.raises(ApiError):
            await ann.call("POST", "/events", json=body)


def lines(system: System, service: str) -> list[dict[str, Any]]:
    """Every line of a service's log: each is an object of JSON."""
    found = []
    for line in system.log(service, lines=1_000_000).split("\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            pytest.fail(f"{service}: no JSON: {line!r}\n{system.log(service)}")
        assert found[-1]["service"] == service
    return found


def drained(database: psycopg.Connection[tuple[Any, ...]]) -> bool:
    pending = database.execute("""
        SELECT (SELECT count(*) FROM changes WHERE fanned_out_at IS NULL)
             + (SELECT count(*) FROM deliveries WHERE finished_at IS NULL)
    """)
    return pending.fetchone() == (0,)


@dataclass(frozen=True)
class Seen:
    logs: dict[str, list[dict[str, Any]]]
    """Of each service, the lines."""
    codes: list[str]
    event: str
    """That the request `OWN_ID` made."""


async def happen(system: System, sink: Sink, hooks: HookSink) -> tuple[list[str], str]:
    """Everything that might be told of people, in one process or another. Returns the codes and the event."""
    async with connect(system.url) as http:
        ann = await Person(http, ANN, f"Ann {TELLING}", PASSWORD).register()
        bob = await Person(http, BOB, TELLING, PASSWORD).register()
        codes = await channels(bob, hooks)
        await nonsense(http, ann)
        sink.behave(
            Rule("RCPT", f"550 5.1.1 <{GONE}>: {TELLING} does not live here", to=[GONE]),
            Rule("RCPT", f"450 4.2.0 <{BOB}>: {TELLING} is busy", to=[BOB], times=1),
        )
        hooks.behave(Rule("END", f"500\n\nhttp://127.0.0.1/{TELLING} {TELLING}"))
        made = await ann.call("POST", "/events", json=LUNCH, headers={"X-Request-ID": OWN_ID})
        event: str = made.json()["id"]
        with system.connect() as database:
            until(lambda: drained(database), "all is told")
            await bob.call("PUT", f"/events/{event}/response", json={"response": "accepted", "comment": TELLING})
            # What PostgreSQL quotes: to the API, to a worker, and to the dispatcher, which ends by it.
            database.execute(f"ALTER TABLE events ADD CONSTRAINT quoting CHECK (title <> '{TELLING}')")
            with pytest.raises(ApiError, match="500"):
                await ann.call("POST", "/events", json={**LUNCH, "title": TELLING})
            database.execute(QUOTING)
            await ann.call("POST", f"/events/{event}/cancel")
            until(lambda: "task failed" in system.log("worker", 10_000), "a task fails")
            database.execute("DROP TRIGGER quote ON notifications")
            until(lambda: drained(database), "all is told after all")
            database.execute("ALTER TABLE reach RENAME TO hidden")
            until(lambda: system.pid("dispatcher") is None, "the dispatcher ends")
            database.execute("ALTER TABLE hidden RENAME TO reach")
    return codes, event


@pytest.fixture(scope="module")
def seen(system: System, sinks: tuple[Sink, HookSink]) -> Seen:
    codes, event = asyncio.run(happen(system, *sinks))
    for service in ("worker", "api"):
        system.stop(service)
    return Seen({service: lines(system, service) for service in ("api", "dispatcher", "worker")}, codes, event)


def test_no_line_tells_of_people_or_secrets(seen: Seen) -> None:
    for service, entries in seen.logs.items():
        for entry in entries:
            said = json.dumps({name: value for name, value in entry.items() if name != "timestamp"})
            for secret in (TELLING, "example.org", "example.net"):
                assert secret not in said, (service, entry)
            assert not any(re.search(rf"(?<!\w){code}(?!\w)", said) for code in seen.codes), (service, entry)


def test_one_request_can_be_followed_by_ids(seen: Seen) -> None:
    [request] = [line for line in seen.logs["api"] if line["event"] == "request" and line["request_id"] == OWN_ID]
    assert (request["status"], request["event_id"]) == (201, seen.event)
    [change] = request["change_ids"]
    handed = [line for line in seen.logs["dispatcher"] if OWN_ID in line.get("request_ids", ())]
    assert {line["queue"] for line in handed} >= {"fan_out", "deliver"}
    done = [
        line for line in seen.logs["worker"] if line["event"] == "task done" and OWN_ID in line.get("request_ids", ())
    ]
    assert [line["change_ids"] for line in done if line["task"] == "planner.fan_out"] == [[change]]
    assert {line["task_id"] for line in done} <= {line["task_id"] for line in handed}
    tries = [line for line in seen.logs["worker"] if line["event"] == "not delivered"]
    mails = {
        (line["status"], line["state"]) for line in tries if (line["change_id"], line["channel"]) == (change, "email")
    }
    assert mails == {(550, "dead"), (450, "failed")}, tries
    others = {(line["channel"], line["status"]) for line in tries if line["channel"] != "email"}
    assert others == {("webhook", 500), ("apprise", 500)}


def test_errors_keep_where_they_came_from(seen: Seen) -> None:
    [failed] = [line for line in seen.logs["api"] if line["event"] == "request_failed"]
    assert "CheckViolation" in failed["exception"]
    assert "writing.py" in failed["exception"]
    failed = next(line for line in seen.logs["worker"] if line["event"] == "task failed")
    assert "broken on purpose" in failed["error"]
    assert "fan_out.py" in failed["exception"]
    ended = seen.logs["dispatcher"][-1]
    assert (ended["event"], ended["level"]) == ("ended by an error", "critical")
    assert "UndefinedTable" in ended["exception"]


def test_the_story_from_the_tables_is_as_discreet(seen: Seen, system: System) -> None:
    environment = {"DATABASE_URL": system.postgres.url(), "COLUMNS": "500"}
    for thing in (OWN_ID, seen.event):
        command = [BIN / "planner", "trace", thing, "--all"]
        told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        assert f": creation of event {seen.event}, revision 1" in told
        assert re.search(r"refused after \d+ ms: 550 .*<…@…>", told)
        assert "dead (refused)" in told
        assert "example." not in told
