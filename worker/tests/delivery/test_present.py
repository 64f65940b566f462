"""Right before it is sent, a delivery is held against the present: what no longer matters is superseded."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from planner_common.changes import Kind
from planner_common.people import person_id

from common.tests.domain import Event
from worker.tests.delivery.conftest import Desk

ANN, BOB, CAT = (f"{name}@example.org" for name in ("ann", "bob", "cat"))
PROMOTED = {"response": ["tentative", "accepted"], "waiting": [True, False], "participants": {"promoted": 1}}
START = {"start": [{"date": "2030-05-01"}, {"date": "2030-05-03"}]}


def change(desk: Desk, event: Event, kind: Kind, diff: dict[str, Any] | None = None, **given: Any) -> int:
    """A change with its diff, fanned out; an event that is cancelled or restored is so from then on."""
    given.setdefault("actor", ANN)
    number = desk.domain.change(event, kind, **given)
    if kind in (Kind.CANCELLATION, Kind.RESTORATION):
        status = "cancelled" if kind is Kind.CANCELLATION else "confirmed"
        desk.set("UPDATE events SET status = :status WHERE id = :id", status=status, id=event.id)
    if kind is Kind.DELETION:
        desk.set("UPDATE events SET deleted_at = now() WHERE id = :id", id=event.id)
    if diff:
        desk.set("UPDATE changes SET diff = CAST(:diff AS jsonb) WHERE id = :id", diff=json.dumps(diff), id=number)
    desk.fan_out(number)
    return number


def fate(desk: Desk, change_id: int, email: str = BOB) -> tuple[str, str | None, int | None]:
    for row in desk.rows():
        if (row["change_id"], row["person_id"]) == (change_id, person_id(email)):
            return row["state"], row["reason"], row["superseded_by"]
    raise LookupError(change_id)


def kinds(desk: Desk, email: str = BOB) -> list[str]:
    """What a person was written of, in order."""
    return [m.items[0].kind for m in desk.mail.sent if m.address["email"] == email]


async def test_an_invitation_to_what_was_cancelled_is_not_sent(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    cancellation = change(desk, event, Kind.CANCELLATION)
    await desk.deliver()
    assert fate(desk, event.creation) == ("superseded", "cancelled", cancellation)
    assert kinds(desk) == ["cancellation"]


async def test_a_cancellation_that_was_taken_back_is_not_sent(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    cancellation = change(desk, event, Kind.CANCELLATION)
    restoration = change(desk, event, Kind.RESTORATION)
    await desk.deliver()
    assert fate(desk, cancellation) == ("superseded", "restored", restoration)
    assert kinds(desk) == ["invitation", "restoration"]


async def test_news_of_what_was_cancelled_again_is_not_sent(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    restoration = change(desk, event, Kind.RESTORATION)
    cancellation = change(desk, event, Kind.CANCELLATION)
    await desk.deliver()
    assert fate(desk, restoration) == ("superseded", "cancelled", cancellation)


async def test_a_deleted_event_is_told_of_as_cancelled_only(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    change(desk, event, Kind.CANCELLATION)
    deletion = change(desk, event, Kind.DELETION, notify=False)
    await desk.deliver()
    assert fate(desk, event.creation) == ("superseded", "deleted", deletion)
    assert kinds(desk) == ["cancellation"]


async def test_who_was_taken_out_hears_of_that_alone(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    update = change(desk, event, Kind.UPDATE, {"title": ["a", "b"]})
    change(desk, event, Kind.REMOVAL, remove=[BOB])
    await desk.deliver()
    assert fate(desk, event.creation)[:2] == ("superseded", "removed")
    assert fate(desk, update)[:2] == ("superseded", "removed")
    assert kinds(desk) == ["removal"]


async def test_who_is_back_is_not_told_of_having_been_taken_out(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    removal = change(desk, event, Kind.REMOVAL, remove=[BOB])
    invitation = change(desk, event, Kind.INVITATION, add=[BOB])
    await desk.deliver()
    assert fate(desk, removal) == ("superseded", "back", invitation)
    assert kinds(desk) == ["invitation", "invitation"]


async def test_an_invitation_that_was_answered_is_not_sent(desk: Desk) -> None:
    event = desk.event(ANN, BOB, CAT)
    desk.set("UPDATE participants SET response = 'accepted' WHERE email = :bob", bob=BOB)
    await desk.deliver()
    assert fate(desk, event.creation)[:2] == ("superseded", "answered")
    assert fate(desk, event.creation, CAT)[0] == "sent"


async def test_of_several_moves_the_last_one_is_told(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    first = change(desk, event, Kind.RESCHEDULE, START)
    second = change(desk, event, Kind.RESCHEDULE, START)
    await desk.deliver()
    assert fate(desk, first) == ("superseded", "changed_again", second)
    assert fate(desk, second)[0] == "sent"


async def test_what_was_changed_only_in_part_again_is_told(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    first = change(desk, event, Kind.UPDATE, {"title": ["a", "b"], "location": ["c", "d"]})
    change(desk, event, Kind.UPDATE, {"title": ["b", "c"]})
    await desk.deliver()
    assert fate(desk, first)[0] == "sent"


@pytest.mark.parametrize("later", [{"notify": False}, {"actor": BOB}])
async def test_what_is_not_told_later_is_told_now(desk: Desk, later: dict[str, Any]) -> None:
    """A quiet change, or one that the reader made, takes the place of no news."""
    event = desk.event(ANN, BOB)
    await desk.deliver()
    first = change(desk, event, Kind.UPDATE, {"title": ["a", "b"]})
    change(desk, event, Kind.UPDATE, {"title": ["b", "c"]}, **later)
    await desk.deliver()
    assert fate(desk, first)[0] == "sent"


async def test_what_is_held_back_takes_the_place_of_no_news(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    first = change(desk, event, Kind.UPDATE, {"title": ["a", "b"]})
    held = desk.domain.change(event, Kind.UPDATE, actor=ANN)
    desk.set("""UPDATE changes SET held_at = now(), diff = '{"title": ["b", "c"]}' WHERE id = :id""", id=held)
    await desk.deliver()
    assert fate(desk, first)[0] == "sent"


async def test_a_late_invitation_shows_the_event_as_it_is_and_says_so_once(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    move = change(desk, event, Kind.RESCHEDULE, START)
    await desk.deliver([pair for pair in desk.claim() if pair[0] == desk.rows()[0]["id"]])
    assert kinds(desk) == ["invitation"]
    desk.expire()
    await desk.deliver()
    assert fate(desk, move)[:2] == ("superseded", "already_told")


async def test_an_answer_that_was_changed_is_told_once(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    desk.set(
        "INSERT INTO routes (person_id, channel_id, type, kinds) VALUES (:ann, :ann, 'email', '{response}')",
        ann=person_id(ANN),
    )
    first = change(desk, event, Kind.RESPONSE, {"response": ["needs_action", "declined"]}, actor=BOB)
    second = change(desk, event, Kind.RESPONSE, {"response": ["declined", "accepted"]}, actor=BOB)
    desk.set("UPDATE participants SET response = 'accepted'")
    await desk.deliver()
    assert fate(desk, first, ANN)[:2] == ("superseded", "answered_again")
    assert fate(desk, second, ANN)[0] == "sent"
    assert kinds(desk, ANN) == ["response"]


async def test_news_that_somebody_waits_is_not_sent_once_they_have_a_place_or_think_otherwise(desk: Desk) -> None:
    event = desk.event(ANN, BOB, CAT)
    await desk.deliver()
    desk.set(
        "INSERT INTO routes (person_id, channel_id, type, kinds) VALUES (:ann, :ann, 'email', '{response}')",
        ann=person_id(ANN),
    )
    waits = {"response": ["needs_action", "tentative"], "waiting": [False, True]}
    said = [change(desk, event, Kind.RESPONSE, waits, actor=guest) for guest in (BOB, CAT)]
    waiting = "UPDATE participants SET response = 'tentative', waiting_since = :since WHERE person_id = :person"
    desk.set(waiting, since=said[0], person=person_id(BOB))
    desk.set("UPDATE participants SET response = 'tentative' WHERE person_id = :cat", cat=person_id(CAT))
    await desk.deliver()
    assert fate(desk, said[0], ANN)[0] == "sent"
    assert fate(desk, said[1], ANN)[:2] == ("superseded", "answered_again")


async def test_a_promotion_is_told_even_if_the_event_was_shown_since(desk: Desk) -> None:
    """A late invitation shows the event as it is, but not that its reader has a place."""
    event = desk.event(ANN, BOB, CAT)
    given = change(desk, event, Kind.PROMOTION, PROMOTED, actor=None, promote=[BOB])
    desk.set("UPDATE participants SET response = 'accepted' WHERE person_id = :bob", bob=person_id(BOB))
    desk.set(
        "UPDATE deliveries SET state = 'sent', finished_at = now(), told_revision = 9 WHERE change_id <> :it", it=given
    )
    await desk.deliver()
    assert fate(desk, given)[0] == "sent"
    assert kinds(desk) == ["update"]
    assert kinds(desk, CAT) == kinds(desk, ANN) == []


async def test_a_place_that_was_given_back_is_not_told_of(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    await desk.deliver()
    given = change(desk, event, Kind.PROMOTION, PROMOTED, actor=None, promote=[BOB])
    desk.set("UPDATE participants SET response = 'declined'")
    await desk.deliver()
    assert fate(desk, given)[:2] == ("superseded", "answered_again")


async def test_nobody_is_written_of_what_is_over(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    desk.set("UPDATE events SET starts_at = now() - interval '3 days', ends_at = now() - interval '2 days'")
    await desk.deliver()
    assert fate(desk, event.creation)[:2] == ("superseded", "over")


async def test_a_series_is_not_over_with_its_first_occurrence(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    desk.set(
        "UPDATE events SET starts_at = now() - interval '3 days', ends_at = now() - interval '2 days',"
        " over_at = now() + interval '2 days'"
    )
    await desk.deliver()
    assert fate(desk, event.creation)[0] == "sent"


async def test_a_whole_day_is_not_over_before_it_is_over_everywhere(desk: Desk) -> None:
    event = desk.event(ANN, BOB)
    desk.set("UPDATE events SET starts_at = now() - interval '1 day 11 hours', ends_at = now() - interval '11 hours'")
    await desk.deliver()
    assert fate(desk, event.creation)[0] == "sent"


CLOSING: dict[str, Callable[[Desk, Event], None]] = {
    "muted": lambda desk, event: desk.set(
        "INSERT INTO mutes (person_id, event_id) VALUES (:bob, :event)", bob=person_id(BOB), event=event.id
    ),
    "not_wanted": lambda desk, _event: desk.set(
        "INSERT INTO routes (person_id, channel_id, type, kinds) VALUES (:bob, :bob, 'email', '{update}')",
        bob=person_id(BOB),
    ),
    "channel_gone": lambda desk, _event: desk.set(
        "INSERT INTO preferences (person_id, email_paused_at) VALUES (:bob, now())", bob=person_id(BOB)
    ),
}


@pytest.mark.parametrize("reason", CLOSING)
async def test_what_its_reader_has_decided_since_counts(desk: Desk, reason: str) -> None:
    event = desk.event(ANN, BOB)
    CLOSING[reason](desk, event)
    assert await desk.deliver() == {"superseded": 1}
    assert fate(desk, event.creation)[:2] == ("superseded", reason)


@pytest.mark.parametrize("closed", ["paused_at", "disabled_at", "ended_at"])
async def test_a_closed_channel_gets_nothing(desk: Desk, closed: str) -> None:
    desk.webhook(BOB, {"url": "https://hooks.example.org"}, ["invitation"])
    desk.event(ANN, BOB)
    desk.set(f"UPDATE channels SET {closed} = now()")
    assert await desk.deliver() == {"sent": 1, "superseded": 1}
    assert desk.hook.sent == []


async def test_without_a_mail_server_a_mail_waits_for_nothing(desk: Desk) -> None:
    """E-mail was set up when the change was told, and is no more."""
    desk.event(ANN, BOB)
    del desk.channels[next(kind for kind in desk.channels if kind == "email")]
    assert await desk.deliver() == {"superseded": 1}
    assert desk.states() == [("superseded", "channel_gone")]
