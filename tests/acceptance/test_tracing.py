"""One request is one trace, from the API through the outbox to the mail that leaves; and who is not traced pays
nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from planner_local.client import Person, connect

from tests.collector import Collector, Told
from tests.smtp import Sink
from tests.system import System, until

pytestmark = pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system is not traced by us")

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
TELLING = "xyzzy"
LUNCH = {"title": f"Lunch {TELLING}", "start": {"date": "2031-05-01"}, "end": {"date": "2031-05-02"}}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def system(collector: Collector) -> Iterator[System]:
    with TemporaryDirectory(prefix="planner-test-") as name:
        folder = Path(name)
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a key",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "MAIL_FROM": "Planner <planner@example.org>",
            "AUDIT_SECONDS": "0",
        }
        with Sink(folder / "sink") as sink, System(folder, settings={**settings, "SMTP_URL": sink.url}) as system:
            yield system


async def make(system: System, *traceparents: str, guests: int = 1) -> list[str]:
    """Events, each by a request of its own that has a parent. Returns their ids."""
    async with connect(system.url) as http:
        ann = await Person(http, f"{token_hex(4)}-{TELLING}@example.org", TELLING).register()
        people = [{"email": f"guest-{number}-{token_hex(4)}-{TELLING}@example.net"} for number in range(guests)]
        body = {**LUNCH, "participants": people}
        made = [await ann.call("POST", "/events", json=body, headers={"traceparent": each}) for each in traceparents]
        return [each.json()["id"] for each in made]


def named(spans: list[Told], name: str) -> Told:
    [span] = [span for span in spans if span.name == name]
    return span


def finished(collector: Collector, trace: str, name: str, number: int = 1) -> list[Told]:
    def there() -> bool:
        return sum(span.name == name for span in collector.trace(trace)) >= number

    until(there, f"{number} times «{name}» in {[span.name for span in collector.trace(trace)]}")
    return collector.trace(trace)


async def test_one_request_is_one_trace(system: System, collector: Collector) -> None:
    trace, caller = token_hex(16), token_hex(8)
    [event] = await make(system, f"00-{trace}-{caller}-01")
    finished(collector, trace, "deliver email")
    spans = finished(collector, trace, "process planner.deliver")
    server = named(spans, "POST /api/v1/events")
    assert (server.service, server.kind, server.parent) == ("planner-api", SERVER, caller)
    [change] = server.attributes["planner.change.ids"]
    assert server.attributes["http.response.status_code"] == 201
    written = next(span for span in spans if span.name == "INSERT events")
    assert (written.parent, written.kind) == (server.id, CLIENT)
    assert "INSERT INTO changes" in written.attributes["db.query.text"]
    assert {span.parent for span in spans if span.name.startswith("redis ")} == {server.id}
    step = server
    for task, last in (("fan_out", False), ("deliver", True)):
        sent, done = named(spans, f"send planner.{task}"), named(spans, f"process planner.{task}")
        assert (sent.service, sent.kind, sent.parent) == ("planner-dispatcher", PRODUCER, step.id)
        assert (done.service, done.kind, done.parent) == ("planner-worker", CONSUMER, sent.id)
        assert (sent.attributes["planner.change.id"], sent.links, done.links) == (change, [], [])
        assert any(span.parent == done.id and span.kind == CLIENT for span in spans)
        if last:
            mail = named(spans, "deliver email")
            assert (mail.parent, mail.attributes["planner.outcome"], mail.failed) == (done.id, "accepted", False)
            assert done.started <= mail.started <= mail.ended <= done.ended
    told = str([(span.name, span.attributes) for span in collector.told])
    assert TELLING not in told
    assert "example." not in told
    assert all(headers["path"] == "/v1/traces" and headers["x-key"] == "a key" for headers in collector.headers)
    with system.connect() as database:
        kept = database.execute("SELECT traceparent FROM changes WHERE event_id = %s", [event]).fetchone()
    assert kept == (f"00-{trace}-{server.id}-01",)
    assert f'"trace_id":"{trace}"' in system.log("worker", 1000)
    assert f'"trace_id":"{trace}"' in system.log("api", 1000)


async def test_what_a_message_has_together_is_in_each_trace_and_linked(system: System, collector: Collector) -> None:
    traces = [token_hex(16) for _ in range(3)]
    system.stop("dispatcher")
    await make(system, *(f"00-{trace}-{token_hex(8)}-01" for trace in traces))
    system.start("dispatcher")
    system.ready("dispatcher")
    for trace in traces:
        finished(collector, trace, "deliver email")
        finished(collector, trace, "process planner.deliver")
    for task in ("fan_out", "deliver"):
        for step in ("send", "process"):
            spans = [named(collector.trace(trace), f"{step} planner.{task}") for trace in traces]
            [first, *others] = sorted(spans, key=lambda span: len(span.links), reverse=True)
            assert len(first.links) == 2
            assert {linked for linked, _ in first.links} == {span.trace for span in others}
            assert [span.links for span in others] == [[(first.trace, first.id)]] * 2
    for trace in traces:
        spans = collector.trace(trace)
        by_id = {span.id: span.name for span in spans}
        mail = named(spans, "deliver email")
        assert by_id[mail.parent] == "process planner.deliver"


async def test_what_the_caller_does_not_trace_is_not_traced(system: System, collector: Collector) -> None:
    trace = token_hex(16)
    [event] = await make(system, f"00-{trace}-{token_hex(8)}-00")
    after = token_hex(16)
    await make(system, f"00-{after}-{token_hex(8)}-01")
    finished(collector, after, "process planner.deliver")
    assert collector.trace(trace) == []
    with system.connect() as database:
        assert database.execute("SELECT traceparent FROM changes WHERE event_id = %s", [event]).fetchone() == (None,)


async def test_errors_say_of_what_kind_and_no_more(system: System, collector: Collector) -> None:
    trace = token_hex(16)
    with system.connect() as database:
        database.execute(f"ALTER TABLE events ADD CONSTRAINT broken CHECK (title NOT LIKE '%{TELLING}') NOT VALID")
        try:
            with pytest.raises(Exception, match="500"):
                await make(system, f"00-{trace}-{token_hex(8)}-01")
        finally:
            database.execute("ALTER TABLE events DROP CONSTRAINT broken")
    spans = finished(collector, trace, "POST /api/v1/events")
    assert named(spans, "POST /api/v1/events").failed
    failed = named(spans, "INSERT events")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "CheckViolationError")
    assert TELLING not in str(spans)


async def test_probes_and_a_turn_without_work_are_no_spans(system: System, collector: Collector) -> None:
    async with connect(system.url) as http:
        for path in ("/livez", "/readyz"):
            assert (await http.get(path)).is_success
    trace = token_hex(16)
    await make(system, f"00-{trace}-{token_hex(8)}-01")
    finished(collector, trace, "process planner.deliver")
    assert not [span for span in collector.told if "livez" in span.name or "readyz" in span.name]
    roots = {span.name for span in collector.told if not span.parent}
    assert all(name.startswith(("POST ", "GET ")) for name in roots), roots


def test_a_collector_that_is_away_costs_nothing_but_spans() -> None:
    with TemporaryDirectory(prefix="planner-test-") as name:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "LOG_LEVEL": "debug",
        }
        with System(Path(name), settings=settings) as system:
            for _ in range(5):
                asyncio.run(make(system, f"00-{token_hex(16)}-{token_hex(8)}-01"))
            until(lambda: '"collector"' in system.log("api", 1000), "the API says that the collector is away")
            assert system.faults() == (0, 0, 0)
            assert [system.stop(service) for service in ("api", "worker", "dispatcher")] == [0, 0, 0]
            for service in ("api", "worker", "dispatcher"):
                said = system.log(service, 10_000)
                assert said.count('"collector"') <= 3, said  # of each process once: a worker has two children
                assert "opentelemetry" not in said


@pytest.mark.parametrize(
    "program",
    [
        "from planner_api.app import from_environment; from_environment()",
        "import planner_worker.dispatcher, planner_worker.telemetry, planner_worker.tasks.deliver as d; d.sender()",
        "import planner_exporter.__main__",
        "import planner_common.cli",
    ],
)
def test_who_is_not_traced_loads_nothing_of_it(program: str, tmp_path: Path) -> None:
    # FastAPI needs the package opentelemetry-api.
    check = """
import sys
told = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "google", "planner_common.tracing.spans")
print([name for name, module in sys.modules.items() if module is not None and name.startswith(told)])"""
    environment: dict[str, Any] = {"SIGNING_KEY": "k" * 32, "ENCRYPTION_KEYS": "e" * 32, "PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{check}"],
        env=environment, cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
