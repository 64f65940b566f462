"""What is older than the settings say goes, with what belongs to it; and nobody takes what was pruned for a fault."""

from collections.abc import Callable, Iterator

import pytest
from planner_common.audit import Information, audit
from planner_common.canary import ORGANIZER
from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Outcome, Reason, State
from planner_common.people import person_id
from planner_common.settings import Settings
from planner_worker import pruning
from planner_worker.pruning import Run, aged, events
from sqlalchemy import Connection, Engine, text

from common.tests.delivered import ANN, BOB, CAT, DAN
from common.tests.domain import Domain, Event

ACCEPTED = [(Outcome.ACCEPTED, 250, "Ok")]
AGE = text("""
    UPDATE changes SET at = at - make_interval(days => :days),
           fanned_out_at = fanned_out_at - make_interval(days => :days) WHERE id = :change
""")
# As if it had been made so long ago: its id says so too.
AGE_DELIVERIES = text("""
    UPDATE deliveries
       SET id = uuidv7(make_interval(days => -:days)), created_at = created_at - make_interval(days => :days),
           due_at = due_at - make_interval(days => :days),
           finished_at = finished_at - make_interval(days => :days) WHERE change_id = :change
""")
AGE_EVENT = text("""
    UPDATE events
       SET deleted_at = deleted_at - make_interval(days => :days), updated_at = now() - make_interval(days => :days)
     WHERE id = :event
""")


def prune(connection: Connection, **days: float) -> dict[str, int]:
    """What a run deletes with these settings, and all others for ever."""
    for_ever = dict.fromkeys(
        ("notification_days", "delivery_days", "dead_days", "event_days", "deleted_event_days", "admin_action_days"), 0
    )
    run = Run(connection, Settings(**{**for_ever, **days}))
    events.prune(run)
    aged.prune(run)
    return dict(run.pruned)


def count(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.fixture(params=[1, 5_000])
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(pruning, "BATCH", request.param)
    return int(request.param)


@pytest.fixture
def check(worker_engine: Engine) -> Iterator[Callable[[], dict[str, int]]]:
    """The faults that an audit finds just now."""

    def check() -> dict[str, int]:
        with worker_engine.connect() as connection:
            found = audit(connection)
        return {name.value: number for name, number in found.violations.items() if number}

    yield check
    assert check() == {}


def told(domain: Domain, *, days: int, state: State = State.SENT) -> Event:
    """An event that was told to Bob so many days ago, by mail too."""
    event = domain.event(ANN, BOB)
    domain.tell(event.creation, BOB)
    tries = ACCEPTED if state == State.SENT else []
    reason = Reason.AGE if state == State.DEAD else None
    domain.connection.execute(text("UPDATE changes SET email_on = true WHERE id = :id"), {"id": event.creation})
    delivery = domain.delivery(event.creation, BOB, state=state, reason=reason, tries=tries)
    values = {"change": event.creation, "days": days, "was": delivery}
    domain.connection.execute(AGE, values)
    domain.connection.execute(AGE_DELIVERIES, values)
    domain.connection.execute(
        text("""
            UPDATE delivery_attempts a SET delivery_id = d.id, started_at = d.finished_at, finished_at = d.finished_at
              FROM deliveries d WHERE a.delivery_id = :was AND d.change_id = :change
        """),
        values,
    )
    return event


@pytest.mark.usefixtures("batch")
def test_deliveries_go_with_their_tries_and_are_no_fault(domain: Domain, check: Callable[[], dict[str, int]]) -> None:
    for days in (91, 92, 89, 100):
        told(domain, days=days)
    assert prune(domain.connection, delivery_days=90) == {"deliveries": 3}
    assert count(domain.connection, "deliveries") == count(domain.connection, "delivery_attempts") == 1
    assert count(domain.connection, "notifications") == 4
    assert check() == {}
    assert prune(domain.connection, delivery_days=90) == {}


def test_what_is_missing_after_the_horizon_is_still_a_fault(
    domain: Domain, check: Callable[[], dict[str, int]]
) -> None:
    told(domain, days=91)
    young = told(domain, days=89)
    prune(domain.connection, delivery_days=90, notification_days=90)
    for table in ("deliveries", "notifications"):
        domain.connection.execute(text(f"CREATE TABLE kept_{table} AS TABLE {table}"))
        domain.connection.execute(text(f"DELETE FROM {table} WHERE change_id = :id"), {"id": young.creation})
    assert check() == {"notification_missing": 1, "delivery_missing": 1}
    for table in ("deliveries", "notifications"):
        domain.connection.execute(text(f"INSERT INTO {table} TABLE kept_{table}"))
        domain.connection.execute(text(f"DROP TABLE kept_{table}"))


def test_unfinished_and_dead_ones_stay_for_as_long_as_they_may(
    domain: Domain, check: Callable[[], dict[str, int]]
) -> None:
    for state in (State.SENT, State.DEAD, State.SUPERSEDED, State.FAILED):
        told(domain, days=100, state=state)
    told(domain, days=200, state=State.DEAD)
    assert prune(domain.connection, delivery_days=90, dead_days=150) == {"deliveries": 3}
    left = domain.connection.execute(text("SELECT state FROM deliveries ORDER BY state")).scalars()
    assert list(left) == [State.DEAD, State.FAILED]
    assert check() == {"delivery_stuck": 1}  # which it is, whatever was pruned
    domain.connection.execute(text("DELETE FROM deliveries WHERE finished_at IS NULL"))


def test_the_first_of_a_digest_may_go_before_the_others(domain: Domain, check: Callable[[], dict[str, int]]) -> None:
    first, second = told(domain, days=91), told(domain, days=89)
    of = "(SELECT id FROM deliveries WHERE change_id = :change)"
    domain.connection.execute(
        text(f"DELETE FROM delivery_attempts WHERE delivery_id = {of}"), {"change": second.creation}
    )
    domain.connection.execute(text(f"UPDATE deliveries SET message_id = {of}"), {"change": first.creation})
    assert check() == {}
    assert prune(domain.connection, delivery_days=90) == {"deliveries": 1}
    assert check() == {}


@pytest.mark.usefixtures("batch")
def test_notifications_go_whatever_their_deliveries_do(domain: Domain, check: Callable[[], dict[str, int]]) -> None:
    for days in (366, 400, 364):
        told(domain, days=days)
    assert prune(domain.connection, notification_days=365) == {"notifications": 2}
    assert count(domain.connection, "notifications") == 1
    assert count(domain.connection, "deliveries") == 3
    assert check() == {}
    assert prune(domain.connection, notification_days=365) == {}


def test_a_change_that_was_held_for_long_is_as_old_as_its_telling(domain: Domain) -> None:
    held, later = told(domain, days=0), told(domain, days=400)
    assert held.creation < later.creation
    assert prune(domain.connection, notification_days=365) == {"notifications": 1}
    left = domain.connection.execute(text("SELECT change_id FROM notifications")).scalars()
    assert list(left) == [held.creation]


def test_a_longer_retention_brings_nothing_back(domain: Domain, check: Callable[[], dict[str, int]]) -> None:
    told(domain, days=100)
    prune(domain.connection, notification_days=90, delivery_days=90)
    prune(domain.connection, notification_days=365, delivery_days=365)
    assert check() == {}


@pytest.mark.usefixtures("batch")
def test_an_event_goes_with_all_that_belongs_to_it(domain: Domain, check: Callable[[], dict[str, int]]) -> None:
    gone, kept = told(domain, days=40), told(domain, days=40)
    for event in (gone, kept):
        removal = domain.change(event, Kind.REMOVAL, actor=ANN, remove=[BOB])
        domain.tell(removal, BOB)
        domain.tell(domain.change(event, Kind.PROMOTION, actor=None, promote=[CAT]), CAT)
        domain.change(event, Kind.DELETION, actor=ANN, notify=False)
        domain.connection.execute(
            text("INSERT INTO mutes (person_id, event_id) VALUES (:person, :event)"),
            {"person": person_id(CAT), "event": event.id},
        )
    domain.connection.execute(text("UPDATE events SET deleted_at = now()"))
    domain.connection.execute(AGE_EVENT, {"event": gone.id, "days": 31})
    domain.connection.execute(AGE_EVENT, {"event": kept.id, "days": 29})
    assert prune(domain.connection, deleted_event_days=30) == {
        "deliveries": 1, "notifications": 3, "changes": 4, "participants": 1, "mutes": 1, "events": 1,
    }  # fmt: skip
    for table in ("deliveries", "delivery_attempts", "promotions", "participants", "mutes", "events"):
        assert count(domain.connection, table) == 1, table
    assert check() == {}


def test_between_two_batches_nothing_is_a_fault(
    domain: Domain, check: Callable[[], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what it has deleted so far is gone, and the rest is told by no audit to be too much, or too little."""
    monkeypatch.setattr(pruning, "BATCH", 1)
    event = domain.event(ANN, BOB, CAT, DAN)
    domain.tell(event.creation, BOB, CAT, DAN)
    domain.connection.execute(text("UPDATE changes SET email_on = true"))
    for person in (BOB, CAT, DAN):
        domain.delivery(event.creation, person, state=State.SENT, tries=ACCEPTED)
    domain.connection.execute(text("UPDATE delivery_attempts SET started_at = now() - interval '1 minute'"))
    domain.connection.execute(text("UPDATE events SET deleted_at = now()"))
    domain.connection.execute(AGE_EVENT, {"event": event.id, "days": 31})
    seen = []

    class Watched(Run):
        @property
        def is_over(self) -> bool:
            seen.append((count(self.connection, "deliveries"), count(self.connection, "notifications")))
            assert check() == {}
            return False

    events.prune(Watched(domain.connection, Settings(deleted_event_days=30)))
    assert {(3, 3), (1, 3), (0, 2), (0, 0)} <= set(seen)
    assert count(domain.connection, "events") == 0


def test_an_event_stays_while_something_of_it_is_to_be_done(domain: Domain) -> None:
    held, waiting = told(domain, days=0), told(domain, days=0, state=State.FAILED)
    change = domain.change(held, Kind.UPDATE, actor=ANN)
    domain.connection.execute(text("UPDATE changes SET held_at = now() WHERE id = :id"), {"id": change})
    domain.connection.execute(text("UPDATE events SET deleted_at = now()"))
    for event in (held, waiting):
        domain.connection.execute(AGE_EVENT, {"event": event.id, "days": 31})
    assert prune(domain.connection, deleted_event_days=30) == {}
    assert count(domain.connection, "notifications") == 2
    domain.tell(change)
    domain.connection.execute(text("UPDATE changes SET held_at = NULL"))
    domain.connection.execute(text("UPDATE deliveries SET state = 'superseded', finished_at = now()"))
    assert prune(domain.connection, deleted_event_days=30)["events"] == 2


def test_events_that_have_ended_go_only_if_asked_for(domain: Domain) -> None:
    over, changed, _ahead = told(domain, days=0), told(domain, days=0), told(domain, days=0)
    for event in (over, changed):
        values = {"event": event.id, "days": 31 if event is over else 29}
        domain.connection.execute(AGE_EVENT, values)
        ended = text("UPDATE events SET ends_at = now() - interval '32 days' WHERE id = :event")
        domain.connection.execute(ended, values)
    assert prune(domain.connection, deleted_event_days=1) == {}
    assert prune(domain.connection, event_days=30)["events"] == 1
    assert count(domain.connection, "events") == 2


def test_a_series_goes_when_its_last_occurrence_has_ended(domain: Domain) -> None:
    for days in (31, 29):
        event = told(domain, days=0)
        domain.connection.execute(AGE_EVENT, {"event": event.id, "days": 31})
        ended = "UPDATE events SET ends_at = now() - interval '1 year', over_at = now() - make_interval(days => :days)"
        domain.connection.execute(text(f"{ended} WHERE id = :event"), {"event": event.id, "days": days})
    assert prune(domain.connection, event_days=30)["events"] == 1
    assert count(domain.connection, "events") == 1


def test_the_canarys_events_go_a_day_after_theirs(domain: Domain) -> None:
    today, gone = domain.event(ORGANIZER, BOB), domain.event(ORGANIZER, BOB)
    other = domain.event(ANN, BOB)
    for event, hours in ((today, 23), (gone, 25), (other, 25)):
        domain.tell(event.creation, BOB)
        domain.connection.execute(
            text("UPDATE events SET ends_at = now() - make_interval(hours => :hours) WHERE id = :event"),
            {"event": event.id, "hours": hours},
        )
    assert prune(domain.connection) == {"notifications": 1, "changes": 1, "participants": 1, "events": 1}
    assert set(domain.connection.execute(text("SELECT id FROM events")).scalars()) == {today.id, other.id}


def test_a_run_ends_in_time_and_the_next_goes_on(
    domain: Domain, monkeypatch: pytest.MonkeyPatch, check: Callable[[], dict[str, int]]
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 1)
    for days in (91, 92, 93):
        told(domain, days=days)
    monkeypatch.setattr(pruning, "RUN_SECONDS", 0.0)
    assert prune(domain.connection, delivery_days=90) == {}
    monkeypatch.setattr(pruning, "RUN_SECONDS", 20.0)
    assert prune(domain.connection, delivery_days=90) == {"deliveries": 3}
    assert check() == {}


def test_two_runs_at_once_take_different_rows(domain: Domain, worker_engine: Engine) -> None:
    for days in (91, 92, 93):
        told(domain, days=days)
    with worker_engine.connect() as other:
        other.execute(text("SELECT FROM deliveries ORDER BY id LIMIT 1 FOR UPDATE"))
        assert prune(domain.connection, delivery_days=90) == {"deliveries": 2}
    assert prune(domain.connection, delivery_days=90) == {"deliveries": 1}


def test_what_admins_did_is_kept_for_its_time(domain: Domain) -> None:
    domain.connection.execute(
        text("""
            INSERT INTO admin_actions (id, at, action)
            SELECT uuidv7(-age), now() - age, 'held.approve'
              FROM unnest(ARRAY['731 days', '729 days']::interval[]) age
        """)
    )
    assert prune(domain.connection, admin_action_days=730) == {"admin_actions": 1}


def test_the_audit_says_what_is_quarantined_and_dead(domain: Domain, worker_engine: Engine) -> None:
    event = told(domain, days=0, state=State.DEAD)
    domain.delivery(event.creation, BOB, ChannelType.WEBHOOK, State.SENT, channel_id=person_id("hook"), tries=ACCEPTED)
    domain.connection.execute(text("UPDATE deliveries SET reason = 'quarantined' WHERE state = 'dead'"))
    with worker_engine.connect() as connection:
        found = audit(connection)
    assert found.information[Information.DEAD] == found.information[Information.QUARANTINED] == 1
