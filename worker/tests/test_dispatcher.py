"""The dispatcher in this process, against a real PostgreSQL and a real broker that nobody consumes."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from kombu.exceptions import OperationalError as BrokerError
from planner_common.changes import Kind
from planner_common.messages import Channel, Queue, Task
from planner_common.settings import Settings
from planner_local.servers import Valkey
from planner_worker.dispatcher import LONG_QUEUE_SECONDS, Dispatcher, Routine
from planner_worker.due.changes import CLAIM, Changes
from redis import Redis
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from common.tests.domain import Domain
from common.tests.samples import sample
from tests.system import until

ANN, BOB = "ann@example.org", "bob@example.org"
NEVER = 3600.0


@pytest.fixture
def broker(valkey: Valkey) -> Iterator[Redis]:
    with Redis.from_url(valkey.url()) as client:
        yield client


@pytest.fixture
def make(settings: Settings) -> Iterator[Callable[..., Dispatcher]]:
    made: list[Dispatcher] = []

    def make(**changed: Any) -> Dispatcher:
        made.append(Dispatcher(settings.model_copy(update={"audit_seconds": 0, **changed})))
        return made[-1]

    yield make
    for dispatcher in made:
        dispatcher.disconnect()
        dispatcher.redis.close()


@contextmanager
def running(dispatcher: Dispatcher) -> Iterator[None]:
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        yield
    finally:
        dispatcher.stop()
        thread.join(20)
        assert not thread.is_alive()


def messages(broker: Redis) -> list[tuple[list[int], list[str]]]:
    """The change ids and request ids of each message that waits, the oldest first."""
    found = []
    for raw in reversed(broker.lrange(Queue.FAN_OUT, 0, -1)):
        message = json.loads(raw)
        assert message["headers"]["task"] == Task.FAN_OUT
        arguments, _, _ = json.loads(base64.b64decode(message["body"]))
        found.append((arguments[0], message["headers"]["request_ids"]))
    return found


def headers(broker: Redis) -> list[dict[str, Any]]:
    return [json.loads(raw)["headers"] for raw in reversed(broker.lrange(Queue.FAN_OUT, 0, -1))]


def expire_leases(domain: Domain) -> None:
    domain.connection.execute(text("UPDATE changes SET lease_until = lease_until - interval '1 hour'"))


def claimed(domain: Domain) -> list[tuple[int, bool]]:
    """How often each change was claimed, and whether it is now."""
    rows = domain.connection.execute(text("SELECT claims, lease_until > now() AS held FROM changes ORDER BY id"))
    return [(row.claims, bool(row.held)) for row in rows]


def test_many_changes_make_one_message_with_the_requests_that_caused_them(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    event = domain.event(ANN, BOB)
    second = domain.change(event, Kind.UPDATE, actor=ANN, request_id="r2")
    third = domain.change(event, Kind.RESCHEDULE, actor=ANN, request_id="r1")
    domain.change(event, Kind.UPDATE, actor=ANN, notify=False)
    dispatcher = make(dispatch_poll_seconds=3.5)
    assert dispatcher.turn(dispatcher.connect()) == 3.5
    assert messages(broker) == [([event.creation, second, third], ["r1", "r2"])]


def test_a_claimed_change_is_left_alone_until_its_lease_runs_out(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    event = domain.event(ANN, BOB)
    dispatcher, another = make(lease_seconds=600), make(lease_seconds=600)
    dispatcher.turn(dispatcher.connect())
    dispatcher.turn(dispatcher.connect())
    another.turn(another.connect())
    assert claimed(domain) == [(1, True)]
    expire_leases(domain)
    another.turn(another.connect())
    assert claimed(domain) == [(2, True)]
    assert messages(broker) == [([event.creation], [])] * 2


def test_a_message_says_since_when_it_is_due_and_whether_it_was_handed_out_before(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    for _ in range(2):
        domain.event(ANN, BOB)
    domain.connection.execute(text("UPDATE changes SET at = at - interval '1 hour' * id"))
    (oldest,) = domain.connection.execute(text("SELECT EXTRACT(epoch FROM min(at))::float FROM changes")).scalars()
    dispatcher = make()
    dispatcher.turn(dispatcher.connect())
    expire_leases(domain)
    dispatcher.turn(dispatcher.connect())
    assert [(one["due"], one["again"]) for one in headers(broker)] == [(oldest, False), (oldest, True)]
    # What was held has not been late so far.
    domain.connection.execute(text("UPDATE changes SET decided_at = at + interval '90 minutes', lease_until = NULL"))
    dispatcher.turn(dispatcher.connect())
    assert headers(broker)[-1]["due"] == oldest + 90 * 60


def test_a_lease_lasts_as_long_as_it_is_set(domain: Domain, make: Callable[..., Dispatcher]) -> None:
    domain.event(ANN, BOB)
    dispatcher = make(lease_seconds=100)
    dispatcher.turn(dispatcher.connect())
    left = domain.connection.scalar(text("SELECT EXTRACT(epoch FROM lease_until - now()) FROM changes"))
    assert left is not None
    assert 40 < left <= 100


def test_what_is_fanned_out_is_never_claimed_again(domain: Domain, make: Callable[..., Dispatcher]) -> None:
    domain.event(ANN, BOB)
    dispatcher = make()
    dispatcher.turn(dispatcher.connect())
    expire_leases(domain)
    domain.connection.execute(text("UPDATE changes SET fanned_out_at = now()"))
    dispatcher.turn(dispatcher.connect())
    assert claimed(domain) == [(1, False)]


def test_what_another_is_claiming_or_working_on_is_passed_over(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis, worker_engine: Engine
) -> None:
    """Two dispatchers at once, and a worker whose lease has run out: a lock of the row is enough."""
    domain.event(ANN, BOB)
    second = domain.event(ANN, BOB)
    with worker_engine.connect() as other:
        other.exec_driver_sql("SELECT FROM changes WHERE id <> %s FOR UPDATE", (second.creation,))
        dispatcher = make()
        dispatcher.connect().execute("SET lock_timeout = '5s'")
        dispatcher.turn(dispatcher.connect())
    assert messages(broker) == [([second.creation], [])]


def test_two_claims_share_nothing(domain: Domain, make: Callable[..., Dispatcher], worker_engine: Engine) -> None:
    domain.event(ANN, *(f"{number}@example.org" for number in range(3)))
    for _ in range(5):
        domain.event(ANN, BOB)
    with worker_engine.connect() as other:
        first = {row.id for row in other.exec_driver_sql(CLAIM, {"limit": 3, "lease": 600, "reach": 0})}
        dispatcher = make()
        with dispatcher.connect().cursor() as cursor:
            second = {row[0] for row in cursor.execute(CLAIM, {"limit": 10, "lease": 600, "reach": 0})}
        other.commit()
    assert (len(first), len(second)) == (3, 3)
    assert not first & second


def test_a_long_queue_is_fed_no_more(domain: Domain, make: Callable[..., Dispatcher], broker: Redis) -> None:
    domain.event(ANN, BOB)
    dispatcher = make()
    broker.lpush(Queue.FAN_OUT, *["{}"] * Changes.long_queue)
    assert dispatcher.turn(dispatcher.connect()) == LONG_QUEUE_SECONDS
    assert claimed(domain) == [(0, False)]
    broker.rpop(Queue.FAN_OUT)
    dispatcher.turn(dispatcher.connect())
    assert claimed(domain) == [(1, True)]


def test_what_the_broker_does_not_take_is_released(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    domain.event(ANN, BOB)
    dispatcher = make(dispatch_poll_seconds=0.01)
    dispatcher.turn(dispatcher.connect())
    domain.event(ANN, BOB)
    lost = sample("planner_dispatcher_publish_errors_total", queue="fan_out")
    broker.config_set("maxmemory", "1")  # it refuses to write, and answers what it is asked
    try:
        with capture_logs() as logs, running(dispatcher):
            until(lambda: dispatcher.failures >= 3, "three failures")
            assert claimed(domain) == [(1, True), (0, False)]
            assert sample("planner_dispatcher_publish_errors_total", queue="fan_out") >= lost + 3
            assert sample("planner_dispatcher_dependency_up", dependency="redis") == 0
    finally:
        broker.config_set("maxmemory", "256mb")
    assert [(entry["event"], entry["dependency"]) for entry in logs] == [("dependency away", "redis")], logs


def test_a_release_leaves_alone_what_another_has_claimed_since(
    domain: Domain, make: Callable[..., Dispatcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    domain.event(ANN, BOB)
    dispatcher, another = make(), make()
    for one in (dispatcher, another):
        one.routine.asked(Task.PRUNE)

    def fail_late(*_message: Any, **_options: Any) -> None:
        """As a broker that hangs until the lease has run out."""
        monkeypatch.undo()
        expire_leases(domain)
        another.turn(another.connect())
        raise BrokerError

    monkeypatch.setattr(dispatcher, "send", fail_late)
    with pytest.raises(BrokerError):
        dispatcher.turn(dispatcher.connect())
    assert claimed(domain) == [(2, True)]


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not even look up to beat its heart."""
    monkeypatch.setattr("planner_worker.dispatcher.HEARTBEAT_SECONDS", NEVER)


@pytest.mark.usefixtures("only_woken")
def test_a_notify_wakes_it(domain: Domain, make: Callable[..., Dispatcher], broker: Redis) -> None:
    dispatcher = make(dispatch_poll_seconds=NEVER)
    with running(dispatcher):
        until(lambda: broker.llen(Queue.HOUSEKEEPING), "the first turn")
        event = domain.event(ANN, BOB)
        domain.connection.exec_driver_sql(f"NOTIFY {Channel.CHANGES}")
        until(lambda: messages(broker), "a message")
    assert messages(broker) == [([event.creation], [])]


def test_without_a_notify_it_looks_now_and_then(domain: Domain, make: Callable[..., Dispatcher], broker: Redis) -> None:
    with running(make(dispatch_poll_seconds=0.05)):
        until(lambda: broker.llen(Queue.HOUSEKEEPING), "the first turn")
        domain.event(ANN, BOB)
        until(lambda: messages(broker), "a message")


def test_it_shows_when_it_turned_how_long_that_took_and_how_late_it_began(make: Callable[..., Dispatcher]) -> None:
    turns, began = "planner_dispatcher_turn_duration_seconds", time.time()
    counted, late = sample(f"{turns}_count"), sample("planner_dispatcher_loop_lag_seconds_sum")
    dispatcher = make(dispatch_poll_seconds=0.01)
    dispatcher.planned -= 100
    with running(dispatcher):
        until(lambda: sample(f"{turns}_count") >= counted + 3, "three turns")
        for dependency in ("postgresql", "redis"):
            assert sample("planner_dispatcher_dependency_up", dependency=dependency) == 1
    assert began <= sample("planner_dispatcher_last_turn_timestamp_seconds") <= time.time()
    assert 100 <= sample("planner_dispatcher_loop_lag_seconds_sum") - late < 150  # the others were not so late


@pytest.mark.usefixtures("only_woken")
def test_a_lost_connection_is_made_anew_and_listens(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    dispatcher = make(dispatch_poll_seconds=NEVER)
    end = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = 'planner-dispatcher' AND datname = current_database()
    """
    with capture_logs() as logs, running(dispatcher):
        until(lambda: broker.llen(Queue.HOUSEKEEPING), "the first turn")
        assert domain.connection.exec_driver_sql(end).scalar() == 1
        until(lambda: [entry for entry in logs if entry["event"] == "dependency back"], "a new connection")
        domain.event(ANN, BOB)
        domain.connection.exec_driver_sql(f"NOTIFY {Channel.CHANGES}")
        until(lambda: messages(broker), "a message")
    assert [entry["dependency"] for entry in logs if entry["log_level"] != "debug"] == ["postgresql", "postgresql"]


def test_a_broker_that_is_away_is_noted_once_and_waited_for(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis, valkey: Valkey
) -> None:
    dispatcher = make(dispatch_poll_seconds=0.05)
    valkey.stop()
    try:
        with capture_logs() as logs, running(dispatcher):
            until(lambda: dispatcher.failures >= 2, "two failures")
            event = domain.event(ANN, BOB)
            valkey.start()
            until(lambda: messages(broker), "a message")
    finally:
        if valkey.process is None:
            valkey.start()
    said = [entry["event"] for entry in logs if entry["log_level"] != "debug"]
    assert said == ["dependency away", "dependency back"]
    assert messages(broker) == [([event.creation], [])]
    assert claimed(domain) == [(1, True)]


def test_pruning_is_asked_for_once_in_a_while(make: Callable[..., Dispatcher], broker: Redis) -> None:
    dispatcher = make()
    for _ in range(3):
        dispatcher.turn(dispatcher.connect())
    assert broker.llen(Queue.HOUSEKEEPING) == 1
    dispatcher.routine = Routine(dispatcher.settings)
    dispatcher.turn(dispatcher.connect())
    assert broker.llen(Queue.HOUSEKEEPING) == 2


def test_a_change_that_always_fails_does_not_stop_the_dispatcher(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    poisonous, sound = domain.event(ANN, BOB), domain.event(ANN, BOB)
    domain.connection.execute(
        text("UPDATE changes SET claims = 32767, lease_until = now() WHERE id = :id"), {"id": poisonous.creation}
    )
    dispatcher = make()
    dispatcher.turn(dispatcher.connect())
    assert sorted(messages(broker)) == [([poisonous.creation], []), ([sound.creation], [])]


def test_sending_subscribes_to_no_result(domain: Domain, make: Callable[..., Dispatcher], broker: Redis) -> None:
    domain.event(ANN, BOB)
    broker.config_resetstat()
    dispatcher = make()
    dispatcher.turn(dispatcher.connect())
    commands = broker.info("commandstats")
    assert "cmdstat_lpush" in commands
    assert "cmdstat_subscribe" not in commands


# ---- the brake


def state(domain: Domain) -> list[bool]:
    """Which changes are held, in their order."""
    rows = domain.connection.execute(text("SELECT held_at IS NOT NULL AS held FROM changes ORDER BY id"))
    return [row.held for row in rows]


def test_what_reaches_too_many_in_an_hour_is_held(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    event, other = domain.event(ANN), domain.event(BOB)
    domain.connection.execute(text("UPDATE changes SET fanned_out_at = now()"))
    first = domain.change(event, Kind.UPDATE, actor=ANN, audience_size=60)
    domain.change(event, Kind.UPDATE, actor=ANN, audience_size=60)
    quiet = domain.change(event, Kind.UPDATE, actor=ANN, audience_size=500, notify=False)
    domain.connection.execute(text("UPDATE changes SET fanned_out_at = NULL WHERE id = :id"), {"id": quiet})
    another_s = domain.change(other, Kind.UPDATE, actor=BOB, audience_size=100)
    dispatcher = make(reach_per_hour=100)
    dispatcher.turn(dispatcher.connect())
    assert state(domain)[2:] == [False, True, False, False]
    assert messages(broker) == [([first, quiet, another_s], [])]
    small = domain.change(event, Kind.UPDATE, actor=ANN, audience_size=40)
    domain.change(event, Kind.UPDATE, actor=ANN, audience_size=1)
    dispatcher.turn(dispatcher.connect())
    assert state(domain)[6:] == [False, True]  # 60 and 40 are 100
    assert messages(broker)[1] == ([small], [])


def test_what_an_admin_lets_go_is_told_and_not_weighed_again(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    event = domain.event(ANN)
    change = domain.change(event, Kind.UPDATE, actor=ANN, audience_size=1000)
    dispatcher = make(reach_per_hour=100)
    dispatcher.turn(dispatcher.connect())
    assert state(domain) == [False, True]
    domain.connection.execute(text("UPDATE changes SET held_at = NULL WHERE id = :id"), {"id": change})
    dispatcher.turn(dispatcher.connect())
    assert messages(broker)[-1] == ([change], [])
    assert domain.connection.scalar(text("SELECT sum(people) FROM reach")) == 1


def test_an_outage_of_the_broker_does_not_weigh_twice(
    domain: Domain, make: Callable[..., Dispatcher], broker: Redis
) -> None:
    domain.event(ANN, BOB)
    domain.connection.execute(text("UPDATE changes SET audience_size = 60"))
    dispatcher = make(reach_per_hour=100, dispatch_poll_seconds=0.01)
    dispatcher.turn(dispatcher.connect())  # asks for the pruning
    domain.connection.execute(text("UPDATE changes SET lease_until = NULL, claims = 0, counted = false"))
    domain.connection.execute(text("DELETE FROM reach"))
    broker.config_set("maxmemory", "1")
    try:
        with running(dispatcher):
            until(lambda: dispatcher.failures >= 3, "three failures")
    finally:
        broker.config_set("maxmemory", "256mb")
    assert domain.connection.scalar(text("SELECT people FROM reach")) == 60
    assert state(domain) == [False]


def test_without_a_limit_nothing_is_held(domain: Domain, make: Callable[..., Dispatcher]) -> None:
    event = domain.event(ANN)
    domain.change(event, Kind.UPDATE, actor=ANN, audience_size=10**6)
    dispatcher = make(reach_per_hour=0)
    dispatcher.turn(dispatcher.connect())
    assert state(domain) == [False, False]


def test_an_answer_that_does_not_come_is_an_outage(
    make: Callable[..., Dispatcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a frozen server, say, whose own bounds are frozen too."""
    monkeypatch.setattr("planner_worker.dispatcher.ANSWER_SECONDS", 0.2)
    database = make().connect()
    database.execute("SET statement_timeout = 0")
    with pytest.raises(psycopg.OperationalError):
        database.execute("SELECT pg_sleep(60)")
