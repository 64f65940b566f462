from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from planner_common import restoring
from planner_common.audit import audit
from planner_common.changes import Kind
from planner_common.deliveries import Lane, Reason, State
from planner_common.messages import Channel
from planner_common.people import person_id
from planner_common.settings import Settings, get_settings
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


# ---- deliveries


def delivered(domain: Domain, change: int) -> list[tuple[str, str]]:
    """Who is to be sent a change on which type of channel."""
    rows = domain.connection.execute(
        text("""
            SELECT p.email, d.type FROM deliveries d JOIN participants p USING (person_id)
             WHERE d.change_id = :change ORDER BY p.email, d.type
        """),
        {"change": change},
    )
    return [(row.email, row.type) for row in rows]


def route(domain: Domain, email: str, kinds: list[str], *, channel: str = "webhook", **times: str) -> None:
    """Where these kinds go for a person; to e-mail, if that is the channel. `times` as PostgreSQL reads them."""
    person = person_id(email)
    values = {"since": "-infinity", "until": None, **times}
    domain.connection.execute(
        text("""
            INSERT INTO routes (person_id, channel_id, type, kinds, since, until)
            VALUES (:person, :channel, :type, :kinds, CAST(:since AS timestamptz), CAST(:until AS timestamptz))
        """),
        {
            "person": person,
            "channel": person if channel == "email" else uuid4(),
            "type": channel,
            "kinds": kinds,
            **values,
        },
    )


@pytest.fixture
def email_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SMTP_URL", "smtp://127.0.0.1:1")
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.mark.usefixtures("email_on")
def test_everyone_is_written_to_unless_they_said_otherwise(domain: Domain) -> None:
    route(domain, BOB, ["update"], channel="email")
    event = domain.event(ANN, BOB, CAT)
    assert fan_out([event.creation]) == {"changes": 1, "notifications": 2, "deliveries": 1}
    assert delivered(domain, event.creation) == [(CAT, "email")]
    update = domain.change(event, Kind.UPDATE, actor=ANN)
    fan_out([update])
    assert delivered(domain, update) == [(BOB, "email"), (CAT, "email")]
    answer = domain.change(event, Kind.RESPONSE, actor=BOB)
    assert fan_out([answer]) == {"changes": 1, "notifications": 1, "deliveries": 0}


def test_without_a_mail_server_other_channels_are_served(domain: Domain) -> None:
    route(domain, BOB, ["invitation"])
    event = domain.event(ANN, BOB, CAT)
    assert fan_out([event.creation])["deliveries"] == 1
    assert delivered(domain, event.creation) == [(BOB, "webhook")]
    assert domain.connection.scalar(text("SELECT email_on FROM changes")) is False


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        ({"since": "2020-01-01"}, True),
        ({"since": "2020-01-01", "until": "2021-01-01"}, False),
        ({"since": "2040-01-01"}, False),
        ({"since": "2020-01-01", "until": "2040-01-01"}, True),
    ],
)
def test_routes_count_as_they_were_when_the_change_was_made(
    domain: Domain, times: dict[str, str], counts: bool
) -> None:
    route(domain, BOB, ["invitation"], **times)
    event = domain.event(ANN, BOB)
    assert fan_out([event.creation])["deliveries"] == counts


@pytest.mark.usefixtures("email_on")
@pytest.mark.parametrize(("until", "told"), [(None, False), ("2021-01-01", True)])
def test_a_muted_event_goes_to_the_inbox_alone(domain: Domain, until: str | None, told: bool) -> None:
    route(domain, BOB, ["invitation"])
    event = domain.event(ANN, BOB, CAT)
    domain.connection.execute(
        text("INSERT INTO mutes (person_id, event_id, since, until) VALUES (:bob, :event, '2020-01-01', :until)"),
        {"bob": person_id(BOB), "event": event.id, "until": until},
    )
    fan_out([event.creation])
    assert domain.told(event.creation) == [BOB, CAT]
    expected = [(BOB, "email"), (BOB, "webhook"), (CAT, "email")] if told else [(CAT, "email")]
    assert delivered(domain, event.creation) == expected


@pytest.mark.usefixtures("email_on")
@pytest.mark.parametrize(
    ("starts_in", "size", "kind", "lane"),
    [
        ("30 minutes", 1, Kind.CANCELLATION, Lane.URGENT),
        ("30 minutes", 10_000, Kind.RESCHEDULE, Lane.URGENT),
        ("30 minutes", 1, Kind.UPDATE, Lane.NORMAL),
        ("30 minutes", 1, Kind.PROMOTION, Lane.URGENT),
        ("2 hours", 1, Kind.CANCELLATION, Lane.NORMAL),
        ("-5 minutes", 1, Kind.CANCELLATION, Lane.NORMAL),
        ("2 hours", 500, Kind.CANCELLATION, Lane.BULK),
        ("2 hours", 499, Kind.CANCELLATION, Lane.NORMAL),
    ],
)
def test_what_is_about_to_start_is_urgent_and_what_goes_to_many_is_not(
    domain: Domain, starts_in: str, size: int, kind: Kind, lane: Lane
) -> None:
    event = domain.event(ANN, BOB)
    domain.connection.execute(
        text("UPDATE events SET starts_at = now() + CAST(:starts_in AS interval)"), {"starts_in": starts_in}
    )
    change = domain.change(event, kind, actor=ANN, promote=[BOB], audience_size=size)
    fan_out([change])
    found = domain.connection.scalar(text("SELECT lane FROM deliveries WHERE change_id = :id"), {"id": change})
    assert found == lane


@pytest.mark.usefixtures("email_on")
def test_deliveries_wake_the_dispatcher_and_come_with_their_notifications(domain: Domain, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"LISTEN {Channel.CHANGES}")
        event = domain.event(ANN, BOB)
        fan_out([event.creation])
        assert len(list(connection.notifies(timeout=5, stop_after=1))) == 1
        fan_out([event.creation])
        assert list(connection.notifies(timeout=0.1)) == []
    assert delivered(domain, event.creation) == [(BOB, "email")]


@pytest.mark.usefixtures("email_on")
def test_what_is_held_is_not_told(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    domain.connection.execute(text("UPDATE changes SET held_at = now()"))
    assert fan_out([event.creation]) == {"changes": 0, "notifications": 0, "deliveries": 0}


@pytest.mark.usefixtures("email_on")
def test_what_a_backup_had_not_told_yet_is_told_and_its_messages_quarantined(
    domain: Domain, worker_engine: Engine
) -> None:
    """The inbox may say it twice; a mail may have been sent between the backup and the loss."""
    before = domain.event(ANN, BOB)
    with worker_engine.begin() as connection:
        restoring.note(connection)
    after = domain.event(ANN, BOB)
    fan_out([before.creation, after.creation])
    assert domain.told(before.creation) == domain.told(after.creation) == [BOB]
    rows = domain.connection.execute(
        text("SELECT change_id, state, reason, finished_at IS NOT NULL, outcome_unknown FROM deliveries ORDER BY 1")
    )
    assert [tuple(row) for row in rows] == [
        (before.creation, State.DEAD, Reason.QUARANTINED, True, True),
        (after.creation, State.PENDING, None, False, False),
    ]
    with worker_engine.connect() as connection:
        assert audit(connection).ok
