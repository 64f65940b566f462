"""How late what is told is said to be: from the commit on, but what was put off on purpose from its new time on."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from planner_common import held, replay
from planner_common.held import Decision

from common.tests.samples import sample
from worker.tests.delivery.conftest import ACCEPTED, LATER, REFUSED, Desk
from worker.tests.delivery.test_waiting import around_now, prefer

ANN, BOB = "ann@example.org", "bob@example.org"
HOUR = timedelta(hours=1)
NOTIFICATION, DELIVERY = "planner_notification_lateness_seconds", "planner_delivery_lateness_seconds"


def pass_by(desk: Desk, time: timedelta) -> None:
    """Let so much time pass for everything that there is."""
    desk.set(
        "UPDATE changes SET at = at - :time, held_at = held_at - :time, decided_at = decided_at - :time", time=time
    )
    desk.set(
        "UPDATE deliveries SET due_at = due_at - :time, queued_at = queued_at - :time, created_at = created_at - :time",
        time=time,
    )


async def lateness(send: Callable[[], Awaitable[object]]) -> float:
    """Of the only mail that is sent, in hours."""
    before = sample(f"{DELIVERY}_sum", channel="email"), sample(f"{DELIVERY}_count", channel="email")
    await send()
    assert sample(f"{DELIVERY}_count", channel="email") == before[1] + 1
    return (sample(f"{DELIVERY}_sum", channel="email") - before[0]) / 3600


async def test_a_mail_is_as_late_as_its_change_is_old(desk: Desk) -> None:
    event = desk.domain.event(ANN, BOB)
    pass_by(desk, HOUR)
    before = sample(f"{NOTIFICATION}_sum")
    desk.fan_out(event.creation)
    assert 1 <= (sample(f"{NOTIFICATION}_sum") - before) / 3600 < 1.1
    pass_by(desk, HOUR)
    assert 2 <= await lateness(desk.deliver) < 2.1


async def test_one_that_failed_is_late(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: LATER
    await desk.deliver()
    desk.mail.answer = lambda _message: ACCEPTED
    pass_by(desk, HOUR)
    assert 1 <= await lateness(desk.deliver) < 1.1


async def test_one_that_kept_quiet_at_night_is_not(desk: Desk) -> None:
    prefer(desk, BOB, **around_now(desk, HOUR, HOUR))
    desk.event(ANN, BOB)
    await desk.deliver()
    desk.set("UPDATE preferences SET quiet_from = NULL, quiet_to = NULL")
    pass_by(desk, 2 * HOUR)
    assert 1 <= await lateness(desk.deliver) < 1.1  # an hour after the night was over


async def test_one_that_waited_for_its_digest_is_not(desk: Desk) -> None:
    prefer(desk, BOB, email_digest="daily")
    desk.event(ANN, BOB)
    await desk.deliver()
    left = desk.row()["due_at"] - desk.row()["created_at"]
    pass_by(desk, left + HOUR)
    assert 1 <= await lateness(desk.deliver) < 1.1


async def test_one_that_is_replayed_is_not(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: REFUSED
    await desk.deliver()
    desk.mail.answer = lambda _message: ACCEPTED
    pass_by(desk, 10 * HOUR)
    desk.connection.execute(*replay.replaying(desk.row()["id"], None))
    pass_by(desk, HOUR)
    assert 1 <= await lateness(desk.deliver) < 1.1


async def test_what_an_admin_held_is_not(desk: Desk) -> None:
    event = desk.domain.event(ANN, BOB)
    desk.set("UPDATE changes SET held_at = now()")
    pass_by(desk, 10 * HOUR)
    desk.connection.execute(held.DECIDE, held.deciding(event.creation, Decision.APPROVED, None))
    pass_by(desk, HOUR)
    before = sample(f"{NOTIFICATION}_sum")
    desk.fan_out(event.creation)
    assert 1 <= (sample(f"{NOTIFICATION}_sum") - before) / 3600 < 1.1
    assert 1 <= await lateness(desk.deliver) < 1.1
