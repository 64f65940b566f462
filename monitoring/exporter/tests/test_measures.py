"""What is measured, and by which name."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from planner_common import schema
from planner_common.models import audits, deliveries
from planner_common.presence import ALIVE_SECONDS
from planner_common.vitals import DUE_COUNTED, HEAD
from planner_local.servers import Valkey
from redis import Redis
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from common.tests.domain import Domain

LANES = ("deliver_urgent", "deliver", "deliver_bulk")
QUEUES = (*LANES, "fan_out", "housekeeping")


def test_nothing_waits(scrape: Callable[[], dict[str, float]]) -> None:
    """And no audit was made, of which there is nothing to say, not even 0."""
    samples = scrape()
    of_the_servers = ("planner_redis_", "planner_database_", "planner_exporter_", "planner_build_info")
    assert {name: value for name, value in samples.items() if not name.startswith(of_the_servers)} == {
        **{f"planner_queue_depth {priority} {queue}": 0 for queue in QUEUES for priority in (0, 3, 6, 9)},
        "planner_queue_unacked": 0,
        **{f"planner_queue_consumers {queue}": 0 for queue in QUEUES},
        **{f"planner_processes {service}": 0 for service in ("api", "dispatcher", "worker")},
        **{f"planner_backlog {work}": 0 for work in (*LANES, "fan_out")},
        **{f"planner_backlog_oldest_seconds {work}": 0 for work in (*LANES, "fan_out")},
        "planner_changes_held": 0,
        "planner_changes_held_oldest_seconds": 0,
        "planner_deliveries_dead": 0,
        "planner_deliveries_outcome_unknown": 0,
        "planner_schema_behind": 0,
    }


def test_the_servers_and_their_limits(
    scrape: Callable[[], dict[str, float]], valkey: Valkey, connection: Connection
) -> None:
    maximum, *reserved = connection.execute(
        text("""
            SELECT setting::int FROM pg_settings
             WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections') ORDER BY name
        """)
    ).scalars()
    with Redis.from_url(valkey.url()) as client:
        limit = client.info("memory")["used_memory"] + 1_000_000
        for number in range(300):
            client.set(f"goes {number}", "x" * 10_000, ex=1000)
        try:
            client.config_set("maxmemory", limit)
            client.set("comes", "x")
            evicted = client.info("stats")["evicted_keys"]
            samples = scrape()
        finally:
            client.config_set("maxmemory", "256mb")
    assert samples["planner_redis_memory_limit_bytes"] == limit
    assert 0 < samples["planner_redis_memory_used_bytes"] < 2 * limit
    assert samples["planner_redis_evicted_keys_total"] >= evicted > 0
    assert samples["planner_redis_clients"] >= 2
    assert samples["planner_database_connections_limit"] == maximum - sum(reserved)
    assert samples["planner_database_size_bytes"] > 1_000_000
    assert samples["planner_exporter_scrape_duration_seconds"] > 0


def test_connections_by_what_they_do(
    scrape: Callable[[], dict[str, float]], worker_engine: Engine, connection: Connection
) -> None:
    def connections() -> dict[str, float]:
        samples = scrape()
        states = ("active", "idle", "idle in transaction", "other")
        return {state: samples[f"planner_database_connections {state}"] for state in states}

    before = connections()
    assert before["active"] >= 1  # the one that asks
    with worker_engine.begin() as transaction:
        transaction.exec_driver_sql("SELECT 1")
        assert connections()["idle in transaction"] == before["idle in transaction"] + 1
        with suppress(ProgrammingError), transaction.begin_nested():
            transaction.exec_driver_sql("SELECT nothing")
        transaction.exec_driver_sql("ROLLBACK")
        transaction.exec_driver_sql("BEGIN")
        with suppress(ProgrammingError):
            transaction.exec_driver_sql("SELECT nothing")
        assert connections()["other"] == before["other"] + 1


def test_the_living_and_what_they_consume(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    seen = [
        ("api@a:1", "api", [], 0),
        ("api@a:2", "api", [], ALIVE_SECONDS - 5),
        ("api@a:3", "api", [], ALIVE_SECONDS + 1),
        ("worker@a", "worker", ["fan_out", "deliver"], 0),
        ("worker@b", "worker", ["fan_out", "a queue of old"], 0),
        ("worker@c", "worker", ["deliver_bulk"], 3600),
    ]
    insert = text("""
        INSERT INTO processes (id, service, version, tzdata, queues, started_at, seen_at, clock)
        VALUES (:id, :service, '1', '2026a', :queues, now(), now() - make_interval(secs => :age), now())
    """)
    for id_, service, queues, age in seen:
        connection.execute(insert, {"id": id_, "service": service, "queues": queues, "age": age})
    samples = scrape()
    assert [samples[f"planner_processes {service}"] for service in ("api", "dispatcher", "worker")] == [2, 0, 2]
    assert {queue: samples[f"planner_queue_consumers {queue}"] for queue in QUEUES} == {
        "deliver_urgent": 0, "deliver": 1, "deliver_bulk": 0, "fan_out": 2, "housekeeping": 0,
    }  # fmt: skip


def test_a_database_of_another_version(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    assert schema.head() == HEAD
    connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    try:
        assert scrape()["planner_schema_behind"] == 1
    finally:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{HEAD}'")


def test_messages_of_every_priority_are_counted(scrape: Callable[[], dict[str, float]], valkey: Valkey) -> None:
    with Redis.from_url(valkey.url()) as client:
        client.lpush("fan_out", "a", "b")
        for priority in (3, 6, 9):
            client.lpush(f"fan_out\x06\x16{priority}", "c")
        client.lpush("housekeeping", "d")
        client.hset("unacked", mapping={"e": "1", "f": "2"})
    samples = scrape()
    assert [samples[f"planner_queue_depth {priority} fan_out"] for priority in (0, 3, 6, 9)] == [2, 1, 1, 1]
    assert samples["planner_queue_depth 0 housekeeping"] == 1
    assert samples["planner_queue_unacked"] == 2


def test_the_backlog_and_its_age(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    domain = Domain(connection)
    domain.event("ann@example.org")
    done, old = domain.event("ann@example.org"), domain.event("ann@example.org")
    connection.execute(text("UPDATE changes SET fanned_out_at = now() WHERE id = :id"), {"id": done.creation})
    connection.execute(text("UPDATE changes SET at = at - interval '1 hour' WHERE id <= :id"), {"id": old.creation})
    samples = scrape()
    assert samples["planner_backlog fan_out"] == 2
    assert 3600 <= samples["planner_backlog_oldest_seconds fan_out"] < 3720


def test_a_held_change_is_no_backlog_and_is_due_from_the_decision_on(
    scrape: Callable[[], dict[str, float]], connection: Connection
) -> None:
    Domain(connection).event("ann@example.org")
    connection.execute(text("UPDATE changes SET at = now() - interval '2 h', held_at = now() - interval '1 h'"))
    samples = scrape()
    assert samples["planner_backlog fan_out"] == 0
    assert samples["planner_changes_held"] == 1
    assert 3600 <= samples["planner_changes_held_oldest_seconds"] < 3720
    connection.execute(text("UPDATE changes SET held_at = NULL, decided_at = now()"))
    samples = scrape()
    assert samples["planner_changes_held"] == 0
    assert samples["planner_backlog fan_out"] == 1
    assert samples["planner_backlog_oldest_seconds fan_out"] < 120


def deliver(connection: Connection, **columns: object) -> None:
    """One delivery."""
    values = {"person_id": uuid4(), "channel_id": uuid4(), "type": "email", **columns}
    connection.execute(deliveries.insert().values(values))


def test_deliveries_that_are_due_by_lane(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    now = datetime.now(UTC)
    deliver(connection, lane=0, due_at=now - timedelta(hours=1))
    deliver(connection, lane=0, due_at=now - timedelta(hours=2), state="failed")
    deliver(connection, lane=0, due_at=now + timedelta(hours=1))
    deliver(connection, lane=1, due_at=now - timedelta(hours=3), lease_until=now + timedelta(hours=1), sending=True)
    deliver(connection, lane=2, due_at=now - timedelta(hours=4), state="sent", finished_at=now)
    samples = scrape()
    number = [samples[f"planner_backlog {work}"] for work in LANES]
    hours = [samples[f"planner_backlog_oldest_seconds {work}"] // 3600 for work in ("deliver_urgent", "deliver")]
    assert number == [2, 1, 0]
    assert hours == [2, 3]
    assert samples["planner_backlog_oldest_seconds deliver_bulk"] == 0


def test_dead_ones_and_those_whose_outcome_is_unknown(
    scrape: Callable[[], dict[str, float]], connection: Connection
) -> None:
    now = datetime.now(UTC)
    deliver(connection, state="dead", finished_at=now)
    deliver(connection, state="dead", finished_at=now, outcome_unknown=True)
    deliver(connection, state="sent", finished_at=now, outcome_unknown=True)
    deliver(connection, state="sent", finished_at=now, outcome_unknown=True)
    samples = scrape()
    assert samples["planner_deliveries_dead"] == 2
    assert samples["planner_deliveries_outcome_unknown"] == 3


def test_only_so_many_are_counted(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    connection.execute(
        text("""
            INSERT INTO deliveries (person_id, channel_id, type, lane, due_at)
            SELECT uuidv7(), uuidv7(), 'email', 2, now() - make_interval(secs => number)
              FROM generate_series(1, :number) number
        """),
        {"number": DUE_COUNTED + 1_000},
    )
    samples = scrape()
    assert samples["planner_backlog deliver_bulk"] == DUE_COUNTED
    assert samples["planner_backlog_oldest_seconds deliver_bulk"] >= DUE_COUNTED + 1_000


def test_the_newest_audit(scrape: Callable[[], dict[str, float]], connection: Connection) -> None:
    for minutes, violations in ((20, {"delivery_missing": 9}), (10, {"delivery_missing": 2, "change_stuck": 0})):
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        row = {"at": at, "since": at, "seconds": 1, "violations": violations, "information": {}}
        connection.execute(audits.insert().values(row))
    samples = scrape()
    assert samples["planner_audit_violations delivery_missing"] == 2
    assert samples["planner_audit_violations change_stuck"] == 0
    assert samples["planner_audit_age_seconds"] // 60 == 10
