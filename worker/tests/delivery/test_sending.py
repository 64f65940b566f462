"""What becomes of deliveries: sent once, tried again, given up, and never changed by who does not hold them."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from planner_common.changes import Kind
from planner_common.deliveries import Outcome
from planner_common.people import person_id
from planner_common.summaries import Reader
from planner_worker.channels import Message, Result
from planner_worker.delivery import sending
from sqlalchemy import text

from common.tests.domain import Domain
from worker.tests.delivery.conftest import ACCEPTED, LATER, REFUSED, UNKNOWN, Desk

ANN, BOB, CAT = (f"{name}@example.org" for name in ("ann", "bob", "cat"))


async def test_a_delivery_is_sent_once_and_says_what_the_provider_said(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    held = desk.claim()
    assert await desk.deliver(held) == {"sent": 1}
    assert await desk.deliver(held) == {}
    assert desk.claim() == []
    row = desk.row()
    assert (row["state"], row["tries"], row["told_revision"], row["sending"]) == ("sent", 1, 1, False)
    assert row["finished_at"] is not None
    assert desk.attempts() == [("accepted", 250)]
    (message,) = desk.mail.sent
    assert message.id == row["id"]
    assert message.address == {"email": BOB}
    (item,) = message.items
    assert (item.kind, item.title, item.event_id, item.organizer_email) == ("invitation", "Dinner", event.id, ANN)


async def test_who_has_an_account_is_written_to_in_their_language_and_zone(desk: Desk) -> None:
    desk.domain.event(BOB)  # gives Bob an account
    desk.set("UPDATE accounts SET locale = 'ru', time_zone = 'Asia/Omsk', name = 'Боб' WHERE email = :bob", bob=BOB)
    desk.set("UPDATE accounts SET locale = 'de', time_zone = 'Europe/Berlin' WHERE email <> :bob", bob=BOB)
    desk.event(ANN, BOB, CAT)
    await desk.deliver()
    readers = {
        message.address["email"]: (message.reader.locale, message.reader.time_zone) for message in desk.mail.sent
    }
    assert readers[BOB] == ("ru", "Asia/Omsk")
    assert {message.name for message in desk.mail.sent} == {"Боб", None}


async def test_a_guest_reads_what_the_organizer_does(desk: Desk) -> None:
    desk.domain.event(ANN)
    desk.set("UPDATE accounts SET locale = 'ru', time_zone = 'Asia/Omsk'")
    desk.event(ANN, CAT)
    await desk.deliver()
    assert [message.reader for message in desk.mail.sent] == [Reader("ru", "Asia/Omsk")]


async def test_a_failure_is_tried_again_under_the_same_id_and_goes_well(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: LATER
    assert await desk.deliver() == {"failed": 1}
    row = desk.row()
    assert (row["state"], row["reason"], row["lease_until"], row["sending"]) == ("failed", "retry", None, False)
    assert row["due_at"] <= row["queued_at"] + timedelta(seconds=desk.settings.retry_base_seconds + 60)
    desk.mail.answer = lambda _message: ACCEPTED
    desk.make_due()
    assert await desk.deliver() == {"sent": 1}
    assert len({message.id for message in desk.mail.sent}) == 1
    assert desk.attempts() == [("later", 451), ("accepted", 250)]


async def test_what_is_not_due_yet_is_not_handed_out(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.set("UPDATE deliveries SET due_at = now() + interval '1 hour'")
    assert desk.claim() == []


async def test_a_refusal_is_final(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: REFUSED
    assert await desk.deliver() == {"dead": 1}
    assert desk.states() == [("dead", "refused")]
    desk.make_due()
    assert desk.claim() == []


async def test_after_the_last_try_it_is_dead(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: LATER
    desk.set("UPDATE deliveries SET tries = :tries", tries=desk.settings.email_tries - 2)
    assert await desk.deliver() == {"failed": 1}
    desk.make_due()
    assert await desk.deliver() == {"dead": 1}
    assert desk.states() == [("dead", "tries")]


async def test_what_is_too_old_is_tried_once_more_and_then_dead(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: LATER
    desk.set(
        "UPDATE deliveries SET queued_at = queued_at - make_interval(hours => :h)", h=int(desk.settings.email_hours)
    )
    assert await desk.deliver() == {"dead": 1}
    assert desk.states() == [("dead", "age")]


async def test_the_other_side_may_ask_for_more_time(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: replace(LATER, retry_after=600)
    await desk.deliver()
    wait = desk.connection.scalar(text("SELECT EXTRACT(epoch FROM due_at - now()) FROM deliveries"))
    assert 500 < wait < 601


def test_pauses_grow_with_full_jitter_up_to_a_bound(desk: Desk) -> None:
    outcomes = desk.make_sender(retry_base_seconds=10, retry_cap_seconds=100).outcomes
    pauses = {tries: [outcomes.pause(tries, None) for _ in range(300)] for tries in (0, 1, 2, 30, 5000)}
    for tries, longest in ((0, 10), (1, 20), (2, 40), (30, 100), (5000, 100)):
        assert longest * 0.9 < max(pauses[tries]) <= longest
        assert 0 <= min(pauses[tries]) < longest * 0.1


async def test_an_unknown_outcome_is_marked_and_tried_again(desk: Desk) -> None:
    desk.event(ANN, BOB)
    desk.mail.answer = lambda _message: UNKNOWN
    assert await desk.deliver() == {"failed": 1}
    assert desk.row()["outcome_unknown"] is True
    desk.mail.answer = lambda _message: ACCEPTED
    desk.make_due()
    await desk.deliver()
    assert (desk.row()["state"], desk.row()["outcome_unknown"]) == ("sent", True)


async def test_a_channel_that_fails_by_its_own_fault_fails_that_delivery_alone(desk: Desk) -> None:
    desk.event(ANN, BOB, CAT)

    def answer(message: Message) -> Result:
        if message.address["email"] == BOB:
            raise ZeroDivisionError
        return ACCEPTED

    desk.mail.answer = answer
    assert await desk.deliver() == {"failed": 1, "sent": 1}
    assert sorted(desk.attempts(), key=str) == [("accepted", 250), ("unknown", None)]


async def test_a_channel_that_is_gone_is_closed(desk: Desk) -> None:
    channel = desk.webhook(BOB, {"url": "https://hooks.example.org", "secrets": []}, ["invitation", "update"])
    event = desk.event(ANN, BOB)
    desk.hook.answer = lambda _message: Result(outcome=Outcome.REFUSED, status=410, detail="410 Gone", gone=True)
    await desk.deliver()
    reason = desk.connection.scalar(text("SELECT disabled_reason FROM channels WHERE id = :id"), {"id": channel})
    assert reason == "410 Gone"
    desk.change(event, Kind.UPDATE, actor=ANN)
    desk.hook.sent.clear()
    await desk.deliver()
    assert desk.hook.sent == []
    assert ("superseded", "channel_gone") in desk.states()


async def test_a_sealed_address_is_opened_for_the_message_only(desk: Desk) -> None:
    address = {"url": "https://hooks.example.org/1", "secrets": ["whsec_abc"]}
    desk.webhook(BOB, address, ["invitation"])
    desk.event(ANN, BOB)
    await desk.deliver()
    assert [message.address for message in desk.hook.sent] == [address]


async def test_an_address_that_no_key_opens_is_a_failure_an_operator_can_mend(desk: Desk) -> None:
    channel = desk.webhook(BOB, {"url": "https://hooks.example.org/1"}, ["invitation"])
    desk.event(ANN, BOB)
    sealed = desk.connection.scalar(text("SELECT address FROM channels"))
    desk.set("UPDATE channels SET address = 'nonsense' WHERE id = :id", id=channel)
    assert await desk.deliver() == {"failed": 1, "sent": 1}
    desk.set("UPDATE channels SET address = :sealed WHERE id = :id", id=channel, sealed=sealed)
    desk.make_due()
    assert await desk.deliver() == {"sent": 1}


async def test_many_are_under_way_at_once(desk: Desk) -> None:
    guests = [f"guest-{number}@example.org" for number in range(40)]
    desk.event(ANN, *guests)
    under_way = most = 0
    release = asyncio.Event()

    async def before(_message: Message) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way >= 3 * sending.SMALLEST_CHUNK:
            release.set()
        await release.wait()
        under_way -= 1

    desk.mail.before = before
    while held := desk.claim():
        await desk.deliver(held)
    assert most >= 3 * sending.SMALLEST_CHUNK
    assert {row["state"] for row in desk.rows()} == {"sent"}
    assert len(desk.mail.sent) == len(guests)


async def test_a_slow_server_does_not_keep_the_worker(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time a batch begins nothing more: what is left is handed out again at once."""
    monkeypatch.setattr(sending, "BEGIN_SECONDS", 0.0)
    desk.event(ANN, BOB, CAT)
    assert await desk.deliver() == {"given_back": 2}
    assert desk.mail.sent == []
    assert desk.states() == [("pending", None)] * 2
    monkeypatch.undo()
    assert await desk.deliver() == {"sent": 2}


# ---- whoever does not hold it changes nothing


async def test_a_worker_that_died_amid_sending_leaves_an_unknown_outcome(desk: Desk) -> None:
    desk.event(ANN, BOB)
    held = desk.claim()
    dying = asyncio.create_task(desk.sender.deliver(held))
    begun = asyncio.Event()

    async def hang(_message: Message) -> None:
        begun.set()
        await asyncio.Event().wait()

    desk.mail.before = hang
    await begun.wait()
    assert desk.claim() == []  # its lease holds
    assert desk.attempts() == [(None, None)]
    desk.expire()
    again = desk.claim()
    assert desk.attempts() == [("unknown", None)]
    row = desk.row()
    assert (row["outcome_unknown"], row["tries"], row["sending"]) == (True, 1, False)
    desk.mail.before = None
    other = desk.make_sender()
    assert await other.deliver(again) == {"sent": 1}
    await other.close()
    dying.cancel()
    assert desk.attempts() == [("unknown", None), ("accepted", 250)]


async def test_a_late_answer_of_whoever_lost_the_lease_is_kept_and_spares_a_second_message(desk: Desk) -> None:
    """Frozen for too long, then going on: the provider has accepted, and nobody has begun to send it again."""
    desk.event(ANN, BOB)

    async def lose_the_lease(_message: Message) -> None:
        desk.expire()
        again.extend(desk.claim())

    again: list[Any] = []
    desk.mail.before = lose_the_lease
    assert await desk.deliver() == {"sent": 1}
    assert desk.row()["outcome_unknown"] is True
    assert desk.attempts() == [("accepted", 250)]
    desk.mail.before = None
    assert await desk.deliver(again) == {}
    assert len(desk.mail.sent) == 1


async def test_a_late_failure_of_whoever_lost_the_lease_changes_nothing(desk: Desk) -> None:
    desk.event(ANN, BOB)
    again: list[Any] = []

    async def lose_the_lease(_message: Message) -> None:
        desk.expire()
        again.extend(desk.claim())

    desk.mail.before, desk.mail.answer = lose_the_lease, lambda _message: REFUSED
    assert await desk.deliver() == {"lost": 1}
    assert desk.states() == [("pending", None)]
    assert desk.attempts() == [("refused", 550)]
    desk.mail.before, desk.mail.answer = None, lambda _message: ACCEPTED
    assert await desk.deliver(again) == {"sent": 1}


async def test_an_expired_lease_of_what_was_not_being_sent_leaves_no_doubt(desk: Desk) -> None:
    desk.event(ANN, BOB)
    first = desk.claim()
    desk.expire()
    second = desk.claim()
    assert desk.row()["outcome_unknown"] is False
    assert await desk.deliver(first) == {}
    assert await desk.deliver(second) == {"sent": 1}
    assert len(desk.mail.sent) == 1


async def test_a_lease_is_extended_while_a_provider_takes_its_time(desk: Desk) -> None:
    desk.sender = desk.make_sender(delivery_lease_seconds=0.4)
    desk.event(ANN, BOB)
    held = desk.claim()
    extended = asyncio.Event()

    async def wait(_message: Message) -> None:
        before = desk.row()["lease_until"]
        while desk.row()["lease_until"] <= before:  # noqa: ASYNC110  # what PostgreSQL holds can only be polled for
            await asyncio.sleep(0.01)
        extended.set()

    desk.mail.before = wait
    assert await desk.deliver(held) == {"sent": 1}
    assert extended.is_set()
    assert desk.row()["outcome_unknown"] is False


async def test_nothing_is_begun_under_a_lease_that_may_be_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen between taking and sending: who goes on then must not send, for another may."""
    desk.event(ANN, BOB)
    monkeypatch.setattr(desk.sender, "settings", desk.settings.model_copy(update={"delivery_lease_seconds": 1e-6}))
    assert await desk.deliver() == {"given_back": 1}
    assert desk.mail.sent == []
    row = desk.row()
    assert (row["state"], row["sending"], row["tries"], row["outcome_unknown"]) == ("pending", False, 0, False)
    assert desk.attempts() == []


async def test_what_changed_since_it_was_looked_at_is_looked_at_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the taking the event is cancelled: the invitation is not sent."""
    event = desk.event(ANN, BOB)
    allowed = sending.Batch.held_back

    async def cancel_first(batch: sending.Batch, outgoing: Any) -> Any:
        if outgoing:
            desk.set("UPDATE events SET status = 'cancelled' WHERE id = :id", id=event.id)
            desk.domain.change(event, Kind.CANCELLATION, actor=ANN)
        return await allowed(batch, outgoing)

    monkeypatch.setattr(sending.Batch, "held_back", cancel_first)
    assert await desk.deliver() == {"given_back": 1}
    monkeypatch.undo()
    assert await desk.deliver() == {"superseded": 1}
    assert desk.mail.sent == []
    assert desk.states() == [("superseded", "cancelled")]


async def test_results_outlast_an_outage_of_postgresql(desk: Desk) -> None:
    """The connection is lost while the message is on its way: what came of it is written down all the same."""
    desk.event(ANN, BOB)
    end = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'planner-worker' AND datname = current_database()
    """

    async def lose_the_connection(_message: Message) -> None:
        desk.connection.exec_driver_sql(end)

    desk.mail.before = lose_the_connection
    assert await desk.deliver() == {"sent": 1}


async def test_codes_and_tests_go_to_channels_that_wait_for_them(desk: Desk, domain: Domain) -> None:
    domain.event(BOB)
    channel = desk.webhook(BOB, {"url": "https://hooks.example.org/1", "code": "123456"}, [])
    send = """
        INSERT INTO deliveries (person_id, channel_id, type, purpose, lane)
        VALUES (:person, :channel, 'webhook', :purpose, 0)
    """
    desk.set("UPDATE channels SET verified_at = NULL, code_expires_at = now() + interval '1 hour'")
    for purpose in ("code", "test"):
        desk.set(send, person=person_id(BOB), channel=channel, purpose=purpose)
    assert await desk.deliver() == {"sent": 1, "superseded": 1}
    assert [(message.purpose, message.code, message.items) for message in desk.hook.sent] == [("code", "123456", ())]
    desk.hook.sent.clear()
    desk.set("UPDATE channels SET verified_at = now()")
    for purpose in ("code", "test"):
        desk.set(send, person=person_id(BOB), channel=channel, purpose=purpose)
    assert await desk.deliver() == {"sent": 1, "superseded": 1}
    assert [message.purpose for message in desk.hook.sent] == ["test"]
