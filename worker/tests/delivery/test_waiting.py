"""Quiet hours, digests, pace and circuit breakers: all of them are rows that are due later."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from planner_common.changes import Kind
from planner_common.people import person_id
from planner_common.settings import Settings
from planner_local.servers import Valkey
from planner_worker.channels import Result
from planner_worker.delivery.restraint import Breakers, Pace
from sqlalchemy import text

from worker.tests.delivery.conftest import ACCEPTED, LATER, UNKNOWN, Desk

ANN, BOB, CAT = (f"{name}@example.org" for name in ("ann", "bob", "cat"))


def prefer(desk: Desk, email: str, **values: object) -> None:
    names = ", ".join(values)
    desk.set(
        f"INSERT INTO preferences (person_id, {names}) VALUES (:person, {', '.join(f':{name}' for name in values)})",
        person=person_id(email),
        **values,
    )


def around_now(desk: Desk, before: timedelta, after: timedelta) -> dict[str, object]:
    """Quiet hours that began so long ago and end so soon, in UTC."""
    now = datetime.now(UTC)
    return {"quiet_from": (now - before).time(), "quiet_to": (now + after).time()}


# ---- quiet hours


async def test_what_falls_in_quiet_hours_waits_for_their_end(desk: Desk) -> None:
    prefer(desk, BOB, **around_now(desk, timedelta(hours=1), timedelta(hours=2)))
    desk.event(ANN, BOB)
    assert await desk.deliver() == {"put_off": 1}
    row = desk.row()
    assert (row["state"], row["reason"], row["tries"], row["digest"]) == ("pending", "quiet_hours", 0, False)
    assert timedelta(hours=1, minutes=50) < row["due_at"] - datetime.now(UTC) <= timedelta(hours=2)
    assert row["queued_at"] == row["due_at"]  # waiting makes it no older
    assert desk.claim() == []
    desk.set("UPDATE preferences SET quiet_from = NULL, quiet_to = NULL")
    desk.make_due()
    assert await desk.deliver() == {"sent": 1}


async def test_what_would_come_too_late_does_not_wait(desk: Desk) -> None:
    prefer(desk, BOB, **around_now(desk, timedelta(hours=1), timedelta(hours=2)))
    desk.event(ANN, BOB)
    desk.set("UPDATE events SET starts_at = now() + interval '90 minutes', ends_at = now() + interval '3 hours'")
    assert await desk.deliver() == {"sent": 1}


# ---- digests


async def test_a_digest_is_one_message_with_all_that_waited(desk: Desk) -> None:
    prefer(desk, BOB, email_digest="hourly")
    first, second = desk.event(ANN, BOB), desk.event(ANN, BOB, CAT)
    assert await desk.deliver() == {"put_off": 2, "sent": 1}  # Cat's goes at once
    waiting = [row for row in desk.rows() if row["person_id"] == person_id(BOB)]
    assert {(row["reason"], row["digest"], row["lane"]) for row in waiting} == {("digest", True, 2)}
    assert {row["due_at"].minute for row in waiting} == {0}
    third = desk.change(second, Kind.UPDATE, actor=ANN)
    await desk.deliver()
    desk.make_due()
    desk.mail.sent.clear()
    assert await desk.deliver() == {"sent": 3}
    (message,) = desk.mail.sent
    assert [item.change_id for item in message.items] == [first.creation, second.creation, third]
    rows = [row for row in desk.rows() if row["person_id"] == person_id(BOB)]
    assert {row["message_id"] for row in rows} == {message.id}
    assert message.id in {row["id"] for row in rows}
    assert desk.claim() == []


async def test_a_digest_that_failed_is_the_same_message_at_the_next_try(desk: Desk) -> None:
    prefer(desk, BOB, email_digest="hourly")
    for _ in range(2):
        desk.event(ANN, BOB)
    await desk.deliver()
    desk.make_due()
    desk.mail.answer = lambda _message: LATER
    assert await desk.deliver() == {"failed": 2}
    assert len({(row["due_at"], row["state"], row["reason"]) for row in desk.rows()}) == 1
    desk.event(ANN, BOB)
    await desk.deliver()
    desk.make_due()
    desk.mail.answer = lambda _message: ACCEPTED
    assert await desk.deliver() == {"sent": 3}
    numbers = Counter(message.id for message in desk.mail.sent)
    assert sorted(numbers.values()) == [1, 2]  # the new one made a digest of its own
    assert {len(message.items) for message in desk.mail.sent if numbers[message.id] == 2} == {2}


async def test_a_digest_whose_worker_died_is_sent_again_and_all_of_it_marked(desk: Desk) -> None:
    prefer(desk, BOB, email_digest="hourly")
    for _ in range(3):
        desk.event(ANN, BOB)
    await desk.deliver()
    desk.make_due()
    desk.mail.answer = lambda _message: UNKNOWN
    await desk.deliver()
    # As a worker leaves it that dies while it sends.
    desk.set("UPDATE deliveries SET state = 'pending', sending = true, lease_until = now() - interval '1 second'")
    desk.set("UPDATE deliveries SET outcome_unknown = false, due_at = now()")
    desk.mail.answer = lambda _message: ACCEPTED
    assert await desk.deliver() == {"sent": 3}
    assert {row["outcome_unknown"] for row in desk.rows()} == {True}
    assert len({message.id for message in desk.mail.sent}) == 1


async def test_a_digest_leaves_out_what_no_longer_matters(desk: Desk) -> None:
    prefer(desk, BOB, email_digest="hourly")
    events = [desk.event(ANN, BOB) for _ in range(3)]
    await desk.deliver()
    desk.make_due()
    first = desk.rows()[0]
    desk.set("UPDATE events SET status = 'cancelled' WHERE id IN (:a, :b)", a=events[0].id, b=events[1].id)
    assert await desk.deliver() == {"superseded": 2, "sent": 1}
    (message,) = desk.mail.sent
    assert [item.event_id for item in message.items] == [events[2].id]
    assert message.id != first["id"]


async def test_a_digest_whose_first_part_no_longer_matters_goes_out_as_another(desk: Desk) -> None:
    prefer(desk, BOB, email_digest="hourly")
    events = [desk.event(ANN, BOB) for _ in range(3)]
    await desk.deliver()
    desk.make_due()
    desk.mail.answer = lambda _message: LATER
    await desk.deliver()
    (message,) = desk.mail.sent
    first = next(row for row in desk.rows() if row["id"] == message.id)
    event = next(event for event in events if event.creation == first["change_id"])
    desk.set("UPDATE events SET status = 'cancelled' WHERE id = :id", id=event.id)
    desk.make_due()
    desk.mail.answer = lambda _message: ACCEPTED
    total = Counter(await desk.deliver()) + Counter(await desk.deliver())
    assert total == {"superseded": 1, "sent": 2}
    assert len(desk.mail.sent[-1].items) == 2


# ---- pace


async def test_a_destination_is_sent_no_more_than_its_pace(desk: Desk) -> None:
    desk.sender = desk.make_sender(email_per_second=2)
    desk.event(ANN, *(f"guest-{number}@example.org" for number in range(10)))
    counts = await desk.deliver()
    assert counts["put_off"] == 10 - counts["sent"] >= 7
    late = sorted(row["due_at"] for row in desk.rows() if row["reason"] == "pace")
    spread = (late[-1] - late[0]).total_seconds()
    assert spread >= (len(late) - 1) / 2 - 0.1  # one after the other, at that pace
    assert {row["tries"] for row in desk.rows() if row["reason"] == "pace"} == {0}


async def test_what_is_urgent_does_not_wait_for_the_pace(desk: Desk) -> None:
    desk.sender = desk.make_sender(email_per_second=0.001)
    desk.event(ANN, BOB)
    assert await desk.deliver() == {"sent": 1}
    desk.event(ANN, BOB)
    assert await desk.deliver() == {"put_off": 1}
    desk.event(ANN, CAT)
    desk.set("UPDATE deliveries SET lane = 0 WHERE person_id = :cat", cat=person_id(CAT))
    assert await desk.deliver() == {"sent": 1}


async def test_all_processes_keep_one_pace_and_without_redis_each_its_own(settings: Settings, valkey: Valkey) -> None:
    first, second = Pace(settings), Pace(settings)
    assert (await first.take({"h": (3, 4.0)}))["h"].number == 3
    assert (await second.take({"h": (3, 4.0)}))["h"].number <= 2
    assert (await second.take({"other": (3, 4.0)}))["other"].number == 3
    valkey.stop()
    try:
        assert (await first.take({"h": (9, 4.0)}))["h"].number == 4
        empty = (await first.take({"h": (9, 4.0)}))["h"]
        assert empty.number == 0
        assert empty.wait > 0
    finally:
        valkey.start()
        await first.close()
        await second.close()


# ---- circuit breakers


async def test_a_dead_server_is_left_alone_then_tried_by_one(desk: Desk) -> None:
    desk.sender = desk.make_sender(breaker_failures=2, breaker_seconds=30)
    for server in ("a", "b"):
        desk.webhook(BOB, {"url": f"https://{server}.example.org"}, ["invitation"])
    dead = "https://a.example.org"
    failure = Result(outcome=LATER.outcome, detail="refused", host_failed=True)
    desk.hook.answer = lambda message: failure if message.address["url"] == dead else ACCEPTED

    async def tell() -> Counter[str]:
        desk.hook.sent.clear()
        desk.event(ANN, BOB)
        desk.set("UPDATE deliveries SET due_at = now() WHERE state = 'pending'")
        await desk.deliver()
        return Counter(message.address["url"] for message in desk.hook.sent)

    assert (await tell())[dead] == 1
    assert (await tell())[dead] == 1
    tried = await tell()
    assert (tried[dead], tried["https://b.example.org"]) == (0, 1)  # open, for that server alone
    reasons = {row["reason"] for row in desk.rows() if row["state"] == "pending"}
    assert reasons == {"breaker"}
    desk.sender.breakers._known[dead].closed_until = 0.0  # the time is over
    assert (await tell())[dead] == 1  # of the two that wait, one finds out
    assert (await tell())[dead] == 0
    desk.sender.breakers._known[dead].closed_until = 0.0
    desk.hook.answer = lambda _message: ACCEPTED
    assert (await tell())[dead] == 1
    assert (await tell())[dead] >= 2  # it is back


def test_a_trial_that_came_to_nothing_is_another_s() -> None:
    breakers = Breakers(1, 0.0)
    breakers.note("h", failed=True)
    assert breakers.ask("h", 5).number == 1
    assert breakers.ask("h", 5).number == 0
    breakers.forget_trial("h")
    assert breakers.ask("h", 5).number == 1
    breakers.note("h", failed=False)
    assert breakers.ask("h", 5).number == 5


async def test_what_waits_too_long_for_a_dead_server_is_dead(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.sender.breakers.note("mail.example.org", failed=True)
    for _ in range(desk.settings.breaker_failures):
        desk.sender.breakers.note("mail.example.org", failed=True)
    desk.set(
        "UPDATE deliveries SET queued_at = now() - make_interval(hours => :h)", h=int(desk.settings.email_hours) + 1
    )
    assert await desk.deliver() == {"dead": 1}
    assert desk.states() == [("dead", "age")]
    assert desk.connection.scalar(text("SELECT count(*) FROM delivery_attempts")) == 0
