"""Dead letters are found by what they are, and become due again once, as the same messages."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from planner_common import replay
from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Lane, Outcome, Purpose, Reason, State
from planner_common.models import deliveries, delivery_attempts
from planner_common.people import person_id
from planner_common.replay import Wanted
from sqlalchemy import Connection, Engine, func, insert, select, text

from common.tests.domain import Domain

ANN, BOB, CAT = "ann@example.org", "bob@example.org", "cat@example.org"
REFUSED = (Outcome.REFUSED, 550, "no such user")
ADMIN = person_id("root@example.org")


def found(connection: Connection, wanted: Wanted, limit: int = 100, before: UUID | None = None) -> list[UUID]:
    rows = connection.execute(*replay.listing(wanted, limit, before)).mappings()
    return [replay.plain(row)["id"] for row in rows]


def row(connection: Connection, delivery: UUID) -> dict[str, Any]:
    return dict(connection.execute(select(deliveries).where(deliveries.c.id == delivery)).mappings().one())


def replayed(connection: Connection, delivery: UUID) -> int:
    return len(connection.execute(*replay.replaying(delivery, ADMIN)).all())


def actions(connection: Connection) -> list[tuple[Any, ...]]:
    return [tuple(each) for each in connection.execute(text("SELECT actor, action, detail FROM admin_actions"))]


@pytest.fixture
def change(domain: Domain) -> int:
    return domain.event(ANN, BOB, CAT).creation


def test_they_are_found_by_each_of_what_they_are(domain: Domain) -> None:
    connection = domain.connection
    event, other = domain.event(ANN, BOB, CAT), domain.event(ANN, BOB)
    a = domain.delivery(event.creation, BOB, state=State.DEAD, reason=Reason.REFUSED)
    b = domain.delivery(event.creation, CAT, ChannelType.WEBHOOK, State.DEAD, Reason.TRIES)
    c = domain.delivery(other.creation, BOB, state=State.DEAD, reason=Reason.AGE)
    d = domain.delivery(None, BOB, ChannelType.APPRISE, State.DEAD, Reason.REFUSED, purpose=Purpose.CODE)
    for state in State:
        if state != State.DEAD:
            domain.delivery(None, CAT, state=state)
    assert found(connection, Wanted()) == [d, c, b, a]
    assert found(connection, Wanted(type=ChannelType.WEBHOOK)) == [b]
    assert found(connection, Wanted(reason=Reason.REFUSED)) == [d, a]
    assert found(connection, Wanted(event=event.id)) == [b, a]
    assert found(connection, Wanted(person=" Bob@Example.org", reason=Reason.AGE)) == [c]
    finished = row(connection, b)["finished_at"]
    assert found(connection, Wanted(since=finished)) == [d, c, b]
    assert found(connection, Wanted(until=finished)) == [a]
    assert found(connection, Wanted(), 2) == [d, c]
    assert found(connection, Wanted(), 2, before=c) == [b, a]
    assert len(found(connection, Wanted(state=State.SENT))) == 1


def test_one_is_shown_with_all_that_an_operator_needs(domain: Domain) -> None:
    event = domain.event(ANN, BOB)
    domain.change(event, Kind.REMOVAL, actor=ANN, remove=[BOB])
    tries = [(Outcome.LATER, 451, "not now"), REFUSED]
    delivery = domain.delivery(event.creation, BOB, state=State.DEAD, reason=Reason.REFUSED, tries=tries)
    [shown] = domain.connection.execute(replay.ONE, {"id": delivery}).mappings()
    plain = replay.plain(shown)
    assert plain["event"] == {"id": event.id, "title": "Dinner"}
    assert (plain["kind"], plain["revision"], plain["lane"]) == ("invitation", 1, "normal")
    # A guest who has left is still known by the address they were invited by.
    assert plain["person"] == {"id": person_id(BOB), "email": BOB, "name": None}
    assert plain["last_answer"] == {"outcome": "refused", "status": 550, "detail": "no such user"}
    attempts = domain.connection.execute(replay.ATTEMPTS, {"id": delivery}).all()
    assert [(each.number, each.outcome, each.status, each.duration_ms) for each in attempts] == [
        (1, "later", 451, 12),
        (3, "refused", 550, 12),
    ]


def test_a_digests_tries_are_shown_of_each_delivery_in_it(domain: Domain, change: int) -> None:
    first = domain.delivery(change, BOB, state=State.DEAD, reason=Reason.REFUSED, tries=[REFUSED])
    second = domain.delivery(change, CAT, state=State.DEAD, reason=Reason.REFUSED, message_id=first)
    [attempt] = domain.connection.execute(replay.ATTEMPTS, {"id": second}).all()
    assert attempt.detail == "no such user"


def test_a_replayed_one_is_as_if_just_made_but_for_what_happened_to_it(domain: Domain, change: int) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    delivery = domain.delivery(
        change,
        BOB,
        state=State.DEAD,
        reason=Reason.REFUSED,
        tries=[REFUSED],
        outcome_unknown=True,
        due_at=long_ago,
        queued_at=long_ago,
        created_at=long_ago,
        lane=Lane.URGENT,
    )
    before = row(domain.connection, delivery)
    assert replayed(domain.connection, delivery) == 1
    after = row(domain.connection, delivery)
    changed = {name for name, value in after.items() if value != before[name]}
    assert changed == {"state", "reason", "due_at", "queued_at", "finished_at", "tries"}
    assert (after["state"], after["reason"], after["finished_at"], after["tries"]) == ("pending", None, None, 0)
    assert after["due_at"] > datetime.now(UTC) - timedelta(minutes=1)
    assert after["queued_at"] > datetime.now(UTC) - timedelta(minutes=1)
    assert actions(domain.connection) == [(ADMIN, "delivery.replay", {"delivery": str(delivery)})]
    # The try of the next claim has a number of its own.
    domain.connection.execute(
        insert(delivery_attempts).values(delivery_id=delivery, number=after["claims"] + 1, outcome="accepted")
    )


def test_it_is_replayed_once(domain: Domain, change: int) -> None:
    delivery = domain.delivery(change, BOB, state=State.DEAD, reason=Reason.AGE)
    assert replayed(domain.connection, delivery) == 1
    assert replayed(domain.connection, delivery) == 0
    assert len(actions(domain.connection)) == 1


@pytest.mark.parametrize("state", [state for state in State if state != State.DEAD])
def test_only_what_is_dead_is_replayed(domain: Domain, change: int, state: State) -> None:
    delivery = domain.delivery(change, BOB, state=state)
    before = row(domain.connection, delivery)
    assert replayed(domain.connection, delivery) == 0
    domain.connection.execute(*replay.replaying_some(Wanted(), ADMIN))
    assert row(domain.connection, delivery) == before
    assert domain.connection.scalar(replay.STATE, {"id": delivery}) == state
    assert replay.not_dead(state) == f"it is {state}, and only what is dead can be replayed"


def test_what_is_not_there_is_not_replayed(domain: Domain) -> None:
    assert replayed(domain.connection, UUID(int=7)) == 0
    assert domain.connection.scalar(replay.STATE, {"id": UUID(int=7)}) is None
    assert actions(domain.connection) == []


def test_a_digest_is_one_message_and_is_replayed_as_one(domain: Domain) -> None:
    channel = person_id(BOB)
    event = domain.event(ANN, BOB)
    changes = [event.creation, *(domain.change(event, Kind.UPDATE, actor=ANN) for _ in range(3))]
    first = domain.delivery(changes[0], BOB, state=State.DEAD, reason=Reason.REFUSED, digest=True)
    domain.connection.execute(deliveries.update().values(message_id=first))
    member = domain.delivery(changes[1], BOB, state=State.DEAD, reason=Reason.REFUSED, message_id=first, digest=True)
    sent = domain.delivery(changes[2], BOB, state=State.SENT, message_id=first, digest=True)
    other = domain.delivery(changes[3], BOB, state=State.DEAD, reason=Reason.REFUSED)
    assert replayed(domain.connection, member) == 2
    states = {each: row(domain.connection, each)["state"] for each in (first, member, sent, other)}
    assert states == {first: "pending", member: "pending", sent: "sent", other: "dead"}
    assert row(domain.connection, member)["message_id"] == first
    assert row(domain.connection, member)["channel_id"] == channel


def test_many_are_replayed_by_a_filter_in_batches_behind_everybody_else(domain: Domain) -> None:
    connection = domain.connection
    event, other = domain.event(ANN, BOB, CAT), domain.event(ANN, BOB)
    mine = [domain.delivery(event.creation, person, state=State.DEAD, reason=Reason.AGE) for person in (BOB, CAT)]
    mine.append(domain.delivery(event.creation, BOB, ChannelType.WEBHOOK, State.DEAD, channel_id=UUID(int=1)))
    theirs = domain.delivery(other.creation, BOB, state=State.DEAD, reason=Reason.AGE)
    first = connection.execute(*replay.replaying_some(Wanted(event=event.id), None, 2)).one()
    assert (first.replayed, first.more) == (2, True)
    assert [row(connection, each)["state"] for each in mine] == ["pending", "pending", "dead"]
    second = connection.execute(*replay.replaying_some(Wanted(event=event.id), None, 2)).one()
    assert (second.replayed, second.more) == (1, False)
    assert {row(connection, each)["lane"] for each in mine} == {Lane.BULK}
    assert row(connection, theirs)["state"] == "dead"
    noted = {"state": "dead", "event": str(event.id)}
    assert actions(connection) == [
        (None, "deliveries.replay", {"wanted": noted, "replayed": 2}),
        (None, "deliveries.replay", {"wanted": noted, "replayed": 1}),
    ]


def test_many_are_replayed_only_of_the_dead() -> None:
    with pytest.raises(ValueError, match="only dead deliveries can be replayed, not those that are sent"):
        replay.replaying_some(Wanted(state=State.SENT), None)


def test_many_that_died_at_once_are_gone_through_once(domain: Domain, change: int) -> None:
    """Although PostgreSQL, whose statistics are older, takes them for few."""
    statement, values = replay.replaying_some(Wanted(), None)
    plan = "\n".join(domain.connection.execute(text(f"EXPLAIN {statement.text}"), values).scalars())
    assert "hashed SubPlan" in plan


@pytest.fixture
def second(worker_engine: Engine) -> Iterator[Connection]:
    with worker_engine.connect() as connection:
        yield connection


def waits_for_a_lock(connection: Connection) -> bool:
    waiting = text("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')")
    return bool(connection.scalar(waiting))


def test_of_two_replays_at_once_one_wins(
    domain: Domain, change: int, second: Connection, worker_engine: Engine
) -> None:
    delivery = domain.delivery(change, BOB, state=State.DEAD, reason=Reason.AGE)
    assert replayed(second, delivery) == 1  # not committed yet
    results: list[int] = []

    def other() -> None:
        with worker_engine.begin() as connection:
            results.append(replayed(connection, delivery))

    thread = threading.Thread(target=other)
    thread.start()
    while not waits_for_a_lock(domain.connection):
        assert thread.is_alive(), results
    second.commit()
    thread.join(20)
    assert results == [0]
    assert len(actions(domain.connection)) == 1


def test_replays_of_many_at_once_share_them_and_wait_for_none(
    domain: Domain, change: int, second: Connection, worker_engine: Engine
) -> None:
    first = domain.delivery(change, BOB, state=State.DEAD, reason=Reason.AGE)
    domain.delivery(change, CAT, state=State.DEAD, reason=Reason.AGE)
    assert replayed(second, first) == 1  # not committed yet
    with worker_engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        assert connection.execute(*replay.replaying_some(Wanted(), None)).one().replayed == 1
    second.commit()
    assert domain.connection.scalar(select(func.count()).where(deliveries.c.state == "pending")) == 2
