"""Why did, or didn't, Bob get this: each answer that there is."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Outcome, Reason, State
from planner_common.explanations import BELONGS, NOTES, REASONS, UNTAKEN
from sqlalchemy import Connection, text

from common.tests.domain import Domain, Event

from .conftest import ALWAYS, Wishes

FUTURE = datetime(2099, 3, 29, 7, tzinfo=UTC)


@pytest.fixture
def event(domain: Domain, ann: Any, bob: Any) -> Event:
    return domain.event(ann.email, bob.email)


@pytest.fixture
def told(domain: Domain, event: Event, bob: Any, connection: Connection) -> UUID:
    """The notification of Bob's invitation, of a Planner that sends e-mail."""
    [notification] = domain.tell(event.creation, bob.email)
    connection.execute(text("UPDATE changes SET email_on = true"))
    return notification


async def explained(person: Any, notification: UUID) -> dict[str, Any]:
    answer = await person.get(f"/notifications/{notification}/explain")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def by_name(person: Any, notification: UUID) -> dict[str | None, dict[str, Any]]:
    return {channel["name"]: channel for channel in (await explained(person, notification))["channels"]}


async def untaken(person: Any, notification: UUID, name: str | None = None) -> str | None:
    channel = (await by_name(person, notification))[name]
    assert channel["delivery"] is None
    assert channel["text"] == UNTAKEN["en"][channel["untaken"]]
    word: str | None = channel["untaken"]
    return word


async def test_all_is_said_of_what_was_sent(domain: Domain, event: Event, told: UUID, bob: Any) -> None:
    tries = [(Outcome.LATER, 451, "not now"), (Outcome.ACCEPTED, 250, "queued as 17")]
    delivery = domain.delivery(event.creation, bob.email, state=State.SENT, tries=tries, told_revision=1)
    found = await explained(bob, told)
    assert found["notification"]["id"] == str(told)
    assert found["notification"]["summary"].startswith("Ann invited you to “Dinner”")
    assert found["why"] == {"reason": "invited", "text": "You were added to the event."}
    assert found["told"]["approved_at"] is None
    assert found["told"]["text"] is None
    assert 0 <= found["told"]["seconds"] < 60
    [channel] = found["channels"]
    assert {name: channel[name] for name in ("id", "type", "name", "route", "untaken", "text")} == {
        "id": str(bob.person_id),
        "type": "email",
        "name": None,
        "route": None,
        "untaken": None,
        "text": "It was sent.",
    }
    shown = channel["delivery"]
    assert (shown["id"], shown["state"], shown["reason"], shown["due_at"]) == (str(delivery), "sent", None, None)
    assert (shown["told_revision"], shown["superseded_by"], shown["outcome_unknown"]) == (1, None, False)
    assert [(a["number"], a["outcome"], a["status"], a["duration_ms"], a["detail"]) for a in shown["attempts"]] == [
        (1, "later", 451, 12, "not now"),
        (3, "accepted", 250, 12, "queued as 17"),
    ]


@pytest.mark.parametrize("reason", Reason)
async def test_every_reason_has_its_word_and_its_sentence(
    reason: Reason, domain: Domain, event: Event, told: UUID, bob: Any, connection: Connection
) -> None:
    [state, *_] = [state for state, those in BELONGS.items() if reason in those]
    later = domain.change(event, Kind.CANCELLATION, actor=event.organizer)
    by = later if state == State.SUPERSEDED else None
    domain.delivery(event.creation, bob.email, state=state, reason=reason, due_at=FUTURE, superseded_by=by)
    shown = (await by_name(bob, told))[None]
    assert (shown["delivery"]["state"], shown["delivery"]["reason"]) == (state, reason)
    assert shown["text"] == shown["delivery"]["text"]
    sentence = REASONS["en"][reason].format(until="Sunday, March 29, 2099, 7:00\u202fAM")
    assert shown["text"] == sentence + (" See revision 2." if by else "")
    assert shown["delivery"]["superseded_by"] == (2 if by else None)
    assert (shown["delivery"]["due_at"] is None) == (state in (State.DEAD, State.SUPERSEDED))
    connection.execute(text("UPDATE accounts SET locale = 'ru' WHERE id = :id"), {"id": bob.account_id})
    start = REASONS["ru"][reason].partition("{")[0]
    assert (await by_name(bob, told))[None]["text"].startswith(start)


async def test_a_reader_is_told_times_of_their_own_zone(
    domain: Domain, event: Event, told: UUID, bob: Any, connection: Connection
) -> None:
    connection.execute(text("UPDATE accounts SET locale = 'ru', time_zone = 'Asia/Tokyo'"))
    domain.delivery(event.creation, bob.email, reason=Reason.DIGEST, due_at=FUTURE, digest=True)
    shown = (await by_name(bob, told))[None]
    assert shown["text"].endswith("16:00.")
    assert shown["delivery"]["digest"] is True


async def test_what_nobody_knows_is_not_hidden(domain: Domain, event: Event, told: UUID, bob: Any) -> None:
    tries = [(Outcome.UNKNOWN, None, "the connection was lost")]
    domain.delivery(event.creation, bob.email, state=State.FAILED, tries=tries, outcome_unknown=True)
    shown = (await by_name(bob, told))[None]
    assert shown["delivery"]["outcome_unknown"] is True
    assert "may have arrived" in shown["text"]
    assert shown["delivery"]["attempts"][0]["outcome"] == "unknown"


async def test_a_digests_tries_are_shown_of_each_that_went_out_in_it(
    domain: Domain, event: Event, told: UUID, bob: Any
) -> None:
    update = domain.change(event, Kind.UPDATE, actor=event.organizer)
    first = domain.delivery(update, bob.email, state=State.SENT, tries=[(Outcome.ACCEPTED, 250, "queued")])
    domain.delivery(event.creation, bob.email, state=State.SENT, digest=True, message_id=first)
    shown = (await by_name(bob, told))[None]["delivery"]
    assert shown["message_id"] == str(first)
    assert [attempt["detail"] for attempt in shown["attempts"]] == ["queued"]


async def test_a_route_in_force_is_shown(domain: Domain, event: Event, told: UUID, bob: Any, wishes: Wishes) -> None:
    pager = wishes.channel(bob)
    wishes.route(bob, pager, "invitation", "update", until=FUTURE)
    domain.delivery(event.creation, bob.email, ChannelType.WEBHOOK, channel_id=pager)
    found = await explained(bob, told)
    assert [channel["name"] for channel in found["channels"]] == [None, "Pager"]
    shown = found["channels"][1]
    route = {"kinds": ["invitation", "update"], "since": "2020-01-01T00:00:00Z", "until": "2099-03-29T07:00:00Z"}
    assert shown["route"] == route
    assert (shown["id"], shown["type"], shown["untaken"]) == (str(pager), "webhook", None)


# ---- why a channel did not take it: what was set up when the change was made


async def test_an_event_that_was_muted(event: Event, told: UUID, bob: Any, wishes: Wishes) -> None:
    wishes.route(bob, wishes.channel(bob), "invitation")
    wishes.mute(bob, event.id)
    assert await untaken(bob, told) == "muted"
    assert await untaken(bob, told, "Pager") == "muted"


async def test_a_mute_that_was_over_or_came_later_is_not_why(
    event: Event, told: UUID, bob: Any, wishes: Wishes, connection: Connection
) -> None:
    wishes.mute(bob, event.id, until=ALWAYS + timedelta(days=1))
    wishes.mute(bob, event.id, since=FUTURE)
    assert await untaken(bob, told) == "not_recorded"


async def test_what_was_pruned_is_not_taken_for_lost(
    domain: Domain, event: Event, told: UUID, ann: Any, bob: Any, connection: Connection
) -> None:
    connection.execute(text("INSERT INTO horizons (name, at) SELECT 'deliveries', max(fanned_out_at) FROM changes"))
    assert await untaken(bob, told) == "not_recorded"
    connection.execute(text("UPDATE horizons SET at = at + interval '1 second'"))
    assert await untaken(bob, told) == "pruned"
    [item] = (await ann.get(f"/events/{event.id}/deliveries")).json()["items"]
    assert item["text"] == NOTES["en"]["pruned"]
    domain.delivery(event.creation, bob.email, state=State.DEAD, reason=Reason.AGE)
    assert (await by_name(bob, told))[None]["text"] == REASONS["en"][Reason.AGE]


async def test_a_kind_that_was_not_wanted(told: UUID, bob: Any, wishes: Wishes) -> None:
    wishes.route(bob, bob.person_id, "cancellation")
    wishes.route(bob, wishes.channel(bob), "cancellation")
    assert await untaken(bob, told) == "not_wanted"
    assert await untaken(bob, told, "Pager") == "not_wanted"


async def test_what_is_wanted_now_is_not_what_was_wanted_then(told: UUID, bob: Any, wishes: Wishes) -> None:
    wishes.route(bob, bob.person_id, "cancellation", until=FUTURE)
    wishes.route(bob, bob.person_id, "invitation", since=FUTURE)
    assert await untaken(bob, told) == "not_wanted"


async def test_answers_stay_in_planner_by_default(domain: Domain, event: Event, ann: Any, bob: Any) -> None:
    answer = domain.change(event, Kind.RESPONSE, actor=bob.email)
    domain.connection.execute(
        text("""UPDATE changes SET email_on = true, diff = '{"response": ["needs_action", "accepted"]}'"""),
    )
    [notification] = domain.tell(answer, ann.email)
    found = await explained(ann, notification)
    assert found["why"] == {"reason": "organizer", "text": "You organize the event."}
    assert await untaken(ann, notification) == "default"


async def test_a_planner_without_e_mail(told: UUID, bob: Any, wishes: Wishes, connection: Connection) -> None:
    connection.execute(text("UPDATE changes SET email_on = false"))
    wishes.channel(bob, "Second", "email")
    assert await untaken(bob, told) == "email_off"
    assert await untaken(bob, told, "Second") == "email_off"


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"created_at": FUTURE, "verified_at": FUTURE}, "not_yet"),
        ({"verified_at": None}, "not_verified"),
        ({"verified_at": FUTURE}, "not_verified"),
        ({"paused_at": ALWAYS}, "paused"),
        ({"disabled_at": ALWAYS, "paused_at": FUTURE}, "disabled"),
        ({}, "off"),
        ({"paused_at": FUTURE}, "off"),
    ],
)
async def test_a_channel_that_took_nothing_then(
    columns: dict[str, Any], word: str, told: UUID, bob: Any, wishes: Wishes
) -> None:
    wishes.channel(bob, **columns)
    assert await untaken(bob, told, "Pager") == word


async def test_a_channel_that_was_gone_by_then_is_not_spoken_of(
    domain: Domain, event: Event, told: UUID, bob: Any, wishes: Wishes
) -> None:
    wishes.channel(bob, "Gone", ended_at=ALWAYS)
    kept = wishes.channel(bob, "Gone since", ended_at=FUTURE)
    used = wishes.channel(bob, "Gone but used", ended_at=ALWAYS)
    domain.delivery(event.creation, bob.email, ChannelType.WEBHOOK, channel_id=used)
    found = await by_name(bob, told)
    assert found.keys() == {None, "Gone since", "Gone but used"}
    assert found["Gone since"]["id"] == str(kept)


# ---- why it came


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Kind.INVITATION, "invited"), (Kind.UPDATE, "participant"), (Kind.CANCELLATION, "participant")],
)
async def test_why_it_came(kind: Kind, reason: str, domain: Domain, event: Event, bob: Any) -> None:
    [notification] = domain.tell(domain.change(event, kind, actor=event.organizer), bob.email)
    assert (await explained(bob, notification))["why"]["reason"] == reason


async def test_who_was_taken_out_was_told_so(domain: Domain, event: Event, bob: Any) -> None:
    update = domain.change(event, Kind.UPDATE, actor=event.organizer)
    removal = domain.change(event, Kind.REMOVAL, actor=event.organizer, remove=[bob.email])
    [before], [notification] = domain.tell(update, bob.email), domain.tell(removal, bob.email)
    assert (await explained(bob, notification))["why"]["reason"] == "removed"
    assert (await explained(bob, before))["why"]["reason"] == "participant"


async def test_what_an_admin_let_go_says_so(told: UUID, bob: Any, connection: Connection) -> None:
    connection.execute(
        text("UPDATE changes SET decided_at = now(), decided_by = :bob, at = at - interval '1 hour'"),
        {"bob": bob.person_id},
    )
    found = (await explained(bob, told))["told"]
    assert found["approved_at"].endswith("Z")
    assert "administrator" in found["text"]
    assert 3600 <= found["seconds"] < 3700


# ---- who may ask


async def test_only_mine_are_explained(told: UUID, ann: Any, bob: Any, carl: Any, root: Any) -> None:
    for other in (ann, carl, root):
        assert (await other.get(f"/notifications/{told}/explain")).status_code == 404
    assert (await bob.get(f"/notifications/{UUID(int=7)}/explain")).status_code == 404
    assert (await bob.get("/notifications/nonsense/explain")).status_code == 422
    assert (await bob.get(f"/notifications/{told}/explain", headers={"Authorization": ""})).status_code == 401
