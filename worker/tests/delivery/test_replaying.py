"""What an admin replays goes through everything that others go through, and stays the message that it was."""

from uuid import UUID

from planner_common import held, replay
from planner_common.changes import Kind
from planner_common.held import Decision
from planner_common.people import person_id
from planner_common.replay import Wanted

from worker.tests.delivery.conftest import ACCEPTED, REFUSED, UNKNOWN, Desk
from worker.tests.delivery.test_waiting import prefer

ANN, BOB, CAT = (f"{name}@example.org" for name in ("ann", "bob", "cat"))


async def died(desk: Desk) -> None:
    """Send what there is to a server that refuses it, and mend the server."""
    desk.mail.answer = lambda _message: REFUSED
    await desk.deliver()
    assert {state for state, _ in desk.states()} == {"dead"}
    desk.mail.answer = lambda _message: ACCEPTED


def replayed(desk: Desk, delivery: UUID) -> int:
    return len(desk.connection.execute(*replay.replaying(delivery, None)).all())


async def test_it_is_the_same_message_with_one_more_try(desk: Desk) -> None:
    desk.event(ANN, BOB)
    await died(desk)
    assert desk.claim() == []
    assert replayed(desk, desk.row()["id"]) == 1
    assert await desk.deliver() == {"sent": 1}
    assert {message.id for message in desk.mail.sent} == {desk.row()["id"]}
    assert desk.attempts() == [("refused", 550), ("accepted", 250)]
    assert desk.states() == [("sent", None)]
    assert replayed(desk, desk.row()["id"]) == 0
    assert desk.claim() == []


async def test_what_no_longer_matters_is_not_sent(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await died(desk)
    cancelled = desk.domain.change(event, Kind.CANCELLATION, actor=ANN)
    desk.set("UPDATE events SET status = 'cancelled'")
    desk.connection.execute(*replay.replaying_some(Wanted(), None))
    sent = len(desk.mail.sent)
    assert await desk.deliver() == {"superseded": 1}
    assert desk.states() == [("superseded", "cancelled")]
    assert desk.row()["superseded_by"] == cancelled
    assert len(desk.mail.sent) == sent


async def test_who_is_gone_meanwhile_is_left_alone(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await died(desk)
    desk.domain.change(event, Kind.REMOVAL, actor=ANN, remove=[BOB])
    replayed(desk, desk.row()["id"])
    assert await desk.deliver() == {"superseded": 1}
    assert desk.states() == [("superseded", "removed")]


async def test_a_digest_goes_out_together_again_under_its_id(desk: Desk) -> None:
    prefer(desk, BOB, email_digest="hourly")
    for _ in range(3):
        desk.event(ANN, BOB)
    await desk.deliver()
    desk.make_due()
    await died(desk)
    (refused,) = desk.mail.sent
    assert replayed(desk, next(row["id"] for row in desk.rows() if row["id"] != refused.id)) == 3
    assert await desk.deliver() == {"sent": 3}
    (_, message) = desk.mail.sent
    assert message.id == refused.id
    assert message.items == refused.items


async def test_an_unknown_outcome_stays_known_as_such(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: UNKNOWN
    await desk.deliver()
    desk.make_due()
    await died(desk)
    replayed(desk, desk.row()["id"])
    await desk.deliver()
    assert desk.row()["outcome_unknown"] is True
    assert len({message.id for message in desk.mail.sent}) == 1


async def test_one_that_has_failed_too_often_has_all_its_tries_again(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.set("UPDATE deliveries SET tries = 99, queued_at = queued_at - interval '1 year'")
    desk.mail.answer = lambda _message: UNKNOWN
    assert await desk.deliver() == {"dead": 1}
    replayed(desk, desk.row()["id"])
    assert await desk.deliver() == {"failed": 1}


async def test_a_held_change_is_told_once_an_admin_has_approved_it(desk: Desk) -> None:
    event = desk.domain.event(ANN, BOB)
    values = {"id": event.creation}
    desk.set("UPDATE changes SET held_at = now() WHERE id = :id", **values)
    desk.fan_out(event.creation)
    assert desk.rows() == []
    desk.connection.execute(held.DECIDE, held.deciding(event.creation, Decision.APPROVED, person_id(CAT)))
    desk.fan_out(event.creation)
    assert await desk.deliver() == {"sent": 1}


async def test_a_held_change_is_told_to_nobody_once_an_admin_has_rejected_it(desk: Desk) -> None:
    event = desk.domain.event(ANN, BOB)
    desk.set("UPDATE changes SET held_at = now()")
    desk.connection.execute(held.DECIDE, held.deciding(event.creation, Decision.REJECTED, None))
    desk.fan_out(event.creation)
    assert desk.rows() == []
    assert desk.domain.pending() == []
