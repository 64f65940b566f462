"""The canary against the whole system, with what goes wrong around it."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from planner_common.canary import ORGANIZER, PARTICIPANT, token
from planner_common.canary.accounts import keep_accounts
from planner_common.database import make_engine
from planner_common.settings import Settings
from planner_exporter import api
from planner_exporter.canary import LIMIT, Canary, Outcome
from planner_local.servers import free_port
from prometheus_client import CollectorRegistry

from tests.smtp import Sink
from tests.system import System, until

pytestmark = pytest.mark.skipif("PLANNER_URL" in os.environ, reason="of that system not everything may be stopped")

KEY = "a key of the canary, which is long enough"
ANSWERS = "SELECT count(*) FROM changes WHERE kind = 'response'"
Make = Callable[..., Canary]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[System, Sink]]:
    with TemporaryDirectory(prefix="planner-test-") as folder, Sink(Path(folder) / "sink") as sink:
        settings = {"SMTP_URL": sink.url, "REGISTRATION": "closed", "AUDIT_SECONDS": "0"}
        with System(Path(folder), settings=settings) as system:
            migrate(system, KEY)
            yield system, sink


@pytest.fixture
def system(running: tuple[System, Sink]) -> System:
    return running[0]


@contextmanager
def given(system: System, **settings: str) -> Iterator[None]:
    """What is started meanwhile has these settings, too."""
    before, system.settings = system.settings, {**system.settings, **settings}
    try:
        yield
    finally:
        system.settings = before


def migrate(system: System, key: str) -> None:
    engine = make_engine(Settings(database_url=system.postgres.url()), "tests")
    with engine.begin() as connection:
        keep_accounts(connection, key)
    engine.dispose()


@pytest.fixture
def make(system: System) -> Make:
    def make(key: str = KEY, limit: float = 20, url: str = system.url) -> Canary:
        return Canary(Settings(api_url=url), key, CollectorRegistry(), limit=limit)

    return make


def counted(bird: Canary) -> dict[str, float]:
    samples = (sample for metric in bird.metrics.runs.collect() for sample in metric.samples)
    return {sample.labels["outcome"]: sample.value for sample in samples if sample.name.endswith("_total")}


def arrivals(bird: Canary) -> tuple[float, float, float, float]:
    """How many were measured, and their sum; the last one's latency and when it was."""
    shown = (bird.metrics.latency, bird.metrics.last_latency, bird.metrics.last_success)
    values = {sample.name: sample.value for one in shown for metric in one.collect() for sample in metric.samples}
    name = "planner_canary_{}".format
    return (
        values[name("latency_seconds_count")],
        values[name("latency_seconds_sum")],
        values[name("last_latency_seconds")],
        values[name("last_success_timestamp_seconds")],
    )


def unread(system: System) -> list[object]:
    items: list[object] = ask(system, ORGANIZER, "GET", "/notifications?unread=true").json()["items"]
    return items


def ask(system: System, email: str, method: str, path: str, **more: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token(KEY, email)}", **more.pop("headers", {})}  # type: ignore[dict-item]
    response = httpx.request(method, f"{system.url}/api/v1{path}", headers=headers, trust_env=False, **more)  # type: ignore[arg-type]
    return response.raise_for_status()


def test_it_is_told_and_reads_what_it_is_told(system: System, make: Make) -> None:
    bird = make()
    assert counted(bird) == dict.fromkeys(Outcome, 0)
    assert arrivals(bird)[:2] == (0, 0)
    assert arrivals(bird)[3] == pytest.approx(time.time(), abs=60)  # nothing arrived: as old as the process
    assert [bird.run(), bird.run()] == [Outcome.TOLD, Outcome.TOLD]
    assert counted(bird)["told"] == 2
    number, total, last, _ = arrivals(bird)
    assert number == 2
    assert 0 < last < total
    assert unread(system) == []
    assert make().run() is Outcome.TOLD  # one that starts anew
    with system.connect() as connection:
        answered = "SELECT count(*) - 1 FROM changes GROUP BY event_id ORDER BY max(at) DESC LIMIT 2"
        assert connection.execute(answered).fetchall() == [(1,), (2,)]  # an event for each, not for each run


def test_without_a_worker_it_is_late_and_afterwards_told(system: System, make: Make) -> None:
    bird = make(limit=1)
    assert bird.run() is Outcome.TOLD
    before = arrivals(bird)
    system.stop("worker")
    try:
        assert [bird.run(), bird.run()] == [Outcome.LATE, Outcome.LATE]
        assert arrivals(bird) == before  # so that its age grows
    finally:
        system.start("worker")
    system.ready("worker")
    bird.limit = 60
    assert bird.run() is Outcome.TOLD
    assert counted(bird) == {"told": 2, "late": 2, "refused": 0, "unreachable": 0}  # those that came late are not told
    until(lambda: bird.run() is Outcome.TOLD and not unread(system), "what came late is read as well")


def test_without_the_api_it_is_unreachable(system: System, make: Make) -> None:
    bird = make()
    assert bird.run() is Outcome.TOLD
    system.kill("api")
    assert [bird.run(), bird.run()] == [Outcome.UNREACHABLE, Outcome.UNREACHABLE]
    system.start("api")
    system.ready("api")
    assert bird.run() is Outcome.TOLD


def test_a_frozen_api_keeps_it_no_longer_than_it_waits(
    system: System, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "TIMEOUT", 0.5)
    bird = make()
    system.freeze("api")
    try:
        assert bird.run() is Outcome.UNREACHABLE
    finally:
        system.thaw("api")
    assert bird.run() is Outcome.TOLD


def test_the_api_goes_away_while_it_waits(system: System, make: Make) -> None:
    bird = make(limit=60)
    system.stop("worker")
    with system.connect() as connection, ThreadPoolExecutor() as threads:
        before = connection.execute(ANSWERS).fetchone()
        running = threads.submit(bird.run)
        until(lambda: connection.execute(ANSWERS).fetchone() != before, "it has answered")
        system.kill("api")
        for name in ("api", "worker"):
            system.start(name)
            system.ready(name)
        assert running.result() is Outcome.TOLD


def test_redis_away_delays_it_at_most(system: System, make: Make) -> None:
    bird = make(limit=1)
    system.valkey.stop()
    try:
        assert bird.run() is Outcome.LATE
    finally:
        system.valkey.start()
    bird.limit = 60
    assert bird.run() is Outcome.TOLD


def test_without_postgresql_it_is_refused(system: System, make: Make) -> None:
    bird = make()
    assert bird.run() is Outcome.TOLD
    system.postgres.stop()
    try:
        assert bird.run() is Outcome.REFUSED
    finally:
        system.postgres.start()
    bird.limit = 60
    until(lambda: bird.run() is Outcome.TOLD, "it is told again")


def test_another_key_is_refused_until_migrate_knows_it(
    system: System, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    bird = make(key=KEY + "!")
    assert bird.run() is Outcome.REFUSED
    assert "run `planner migrate` with its CANARY_KEY" in capsys.readouterr().out
    migrate(system, KEY + "!")
    assert bird.run() is Outcome.TOLD
    migrate(system, KEY)
    assert bird.run() is Outcome.REFUSED


def test_an_event_that_was_deleted_by_hand_is_made_anew(system: System, make: Make) -> None:
    bird = make()
    assert bird.run() is Outcome.TOLD
    with system.connect() as connection:
        [(event, revision)] = connection.execute(
            "SELECT id, revision FROM events ORDER BY created_at DESC LIMIT 1"
        ).fetchall()
    ask(system, ORGANIZER, "DELETE", f"/events/{event}", headers={"If-Match": f'"{revision}"'})
    assert bird.run() is Outcome.REFUSED
    assert bird.run() is Outcome.TOLD


def test_it_asks_no_more_than_it_may(system: System, make: Make) -> None:
    with given(system, RATE_LIMIT="2/hour"):
        system.kill("api")
        system.start("api")
    system.ready("api")
    bird = make(limit=2)
    system.stop("worker")
    try:
        assert bird.run() is Outcome.REFUSED
        lines = [json.loads(line) for line in system.log("api", 20).splitlines()]
        refused = [line for line in lines if line.get("status") == 429]
        assert len(refused) == 2  # after two looks that it may take, and at the limit
        assert bird.pause == 2
    finally:
        system.kill("api")
        for name in ("api", "worker"):
            system.start(name)
            system.ready(name)


def test_nothing_is_ever_mailed(running: tuple[System, Sink], make: Make) -> None:
    system, sink = running
    assert make().run() is Outcome.TOLD
    event = ask(system, ORGANIZER, "GET", "/events?role=organizer&limit=1").json()["items"][0]["id"]
    ask(system, ORGANIZER, "POST", f"/events/{event}/cancel")  # of which the participant is told
    until(lambda: ask(system, PARTICIPANT, "GET", "/notifications").json()["items"], "it is in the inbox")
    with system.connect() as connection:
        assert connection.execute("SELECT count(*) FROM deliveries").fetchone() == (0,)
    assert sink.mails() == []
    assert system.faults() == (0, 0, 0)


def test_nobody_logs_in_as_the_canary(system: System) -> None:
    form = {"username": ORGANIZER, "password": "no password fits"}
    answer = httpx.post(f"{system.url}/api/v1/auth/token", data=form, trust_env=False)
    assert answer.status_code == 401


def test_as_a_process(system: System) -> None:
    port = free_port()
    system.commands["canary"] = [sys.executable, "-m", "planner_exporter.canary"]
    with given(system, CANARY_KEY=KEY, CANARY_SECONDS="0.1", CANARY_PORT=str(port), API_URL=system.url):
        system.start("canary")
    system.ready("canary")

    def told() -> int:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        [number] = re.findall(r'^planner_canary_runs_total{outcome="told"} (\d+)', text, re.MULTILINE)
        assert "process_resident_memory_bytes" in text
        return int(number)

    until(lambda: told() > 1, "canaries arrive")
    system.stop("worker")
    with system.connect() as connection:

        def waiting() -> bool:
            due = "SELECT count(*) FROM changes WHERE fanned_out_at IS NULL AND kind = 'response'"
            return connection.execute(due).fetchone() == (1,)

        until(waiting, "it waits")
    began = time.monotonic()
    assert system.stop("canary") == 0
    assert time.monotonic() - began < LIMIT / 2  # not at the end of its wait
    system.start("worker")
    system.ready("worker")
