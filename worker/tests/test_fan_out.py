from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from planner_common.changes import Kind
from planner_common.messages import Channel
from planner_common.people import person_id
from planner_common.settings import Settings
from planner_worker.tasks.fan_out import fan_out, statement
from prometheus_client import REGISTRY
from sqlalchemy import Engine, text

from common.tests.domain import Domain

ANN, BOB, CAT = (f"{name}@example.org" for name in ("ann", "bob", "cat"))

pytestmark = pytest.mark.usefixtures("settings")


@pytest.fixture
def listener(database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Hears what live streams hear."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"LISTEN {Channel.NOTIFICATIONS}")
        yield connection


def test_changes_become_notifications(domain: Domain) -> None:
    dinner, lunch = domain.event(ANN, BOB, CAT), domain.event(BOB, CAT)
    other = domain.event(ANN, BOB)
    assert fan_out([dinner.creation, lunch.creation]) == {"changes": 2, "notifications": 3, "deliveries": 0}
    assert domain.told(dinner.creation) == [BOB, CAT]
    assert domain.told(lunch.creation) == [CAT]
    assert domain.pending() == [other.creation]


def test_twice_adds_nothing(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    fan_out([event.creation])
    assert fan_out([event.creation]) == {"changes": 0, "notifications": 0, "deliveries": 0}
    assert domain.told(event.creation) == [BOB]


def test_what_is_there_already_is_no_error(domain: Domain) -> None:
    """A change that was told in part by other means, and an organizer who takes part: each person has one."""
    event = domain.event(ANN, ANN, BOB)
    change = domain.change(event, Kind.CANCELLATION, actor=None)
    domain.connection.execute(
        text("INSERT INTO notifications (change_id, person_id) VALUES (:change, :bob)"),
        {"change": change, "bob": person_id(BOB)},
    )
    assert fan_out([change]) == {"changes": 1, "notifications": 1, "deliveries": 0}
    assert domain.told(change) == [ANN, BOB]


def test_twice_at_once_adds_nothing_and_nobody_waits(domain: Domain, worker_engine: Engine) -> None:
    first, second = domain.event(ANN, BOB), domain.event(ANN, CAT)
    with ThreadPoolExecutor(1) as pool, worker_engine.connect() as slow:
        done = slow.execute(statement(delivering=False), {"change_ids": [first.creation], "email_on": False}).one()
        meanwhile = pool.submit(fan_out, [first.creation, second.creation])
        try:
            assert meanwhile.result(timeout=20) == {"changes": 1, "notifications": 1, "deliveries": 0}
        finally:
            slow.commit()
    assert done.notifications == 1
    assert domain.told(first.creation) == [BOB]
    assert domain.told(second.creation) == [CAT]


def test_a_change_without_an_audience_is_done(domain: Domain) -> None:
    event = domain.event(ANN)
    assert fan_out([event.creation]) == {"changes": 1, "notifications": 0, "deliveries": 0}
    assert domain.pending() == []


def test_a_quiet_change_stays_quiet(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    quiet = domain.change(event, Kind.UPDATE, actor=ANN, notify=False)
    assert fan_out([quiet]) == {"changes": 0, "notifications": 0, "deliveries": 0}
    assert domain.told(quiet) == []


def test_unknown_changes_are_nothing(domain: Domain) -> None:
    assert fan_out([10**12]) == {"changes": 0, "notifications": 0, "deliveries": 0}
    assert fan_out([]) == {"changes": 0, "notifications": 0, "deliveries": 0}


def test_live_streams_are_woken_when_there_is_something(
    domain: Domain, listener: psycopg.Connection[tuple[object, ...]]
) -> None:
    event, alone = domain.event(ANN, BOB), domain.event(ANN)
    fan_out([alone.creation])
    fan_out([event.creation])
    fan_out([event.creation])
    heard = [notify.payload for notify in listener.notifies(timeout=0.2)]
    assert heard == [f"[{event.creation}]"]


def test_a_change_is_marked_after_its_notifications_were_written(domain: Domain) -> None:
    event = domain.event(ANN, *(f"guest-{number}@example.org" for number in range(50)))
    fan_out([event.creation])
    after = domain.connection.scalar(
        text("SELECT fanned_out_at > (SELECT max(created_at) FROM notifications) FROM changes")
    )
    assert after is True


def test_lateness_is_measured_from_the_change(domain: Domain, settings: Settings) -> None:
    def sample(name: str) -> float:
        return REGISTRY.get_sample_value(name) or 0

    event = domain.event(ANN, BOB, CAT)
    domain.connection.execute(text("UPDATE changes SET at = at - interval '100 seconds'"))
    count, total = (sample(f"planner_notification_lateness_seconds_{part}") for part in ("count", "sum"))
    written = sample("planner_notifications_written_total")
    fan_out([event.creation])
    assert sample("planner_notification_lateness_seconds_count") == count + 1
    assert 100 <= sample("planner_notification_lateness_seconds_sum") - total < 160
    assert sample("planner_notifications_written_total") == written + 2
