"""The organizer sees who was told what, and nothing of how others have set up their messages."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from planner_api.events.telling import Asked
from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Outcome, Reason, State
from planner_common.explanations import BELONGS, PRIVATE
from planner_common.people import person_id
from sqlalchemy import Connection, text

from common.tests.domain import Domain, Event

FUTURE = datetime(2099, 3, 29, 7, tzinfo=UTC)
DAN, EVE = "dan@example.org", "eve@example.org"


@pytest.fixture
def event(domain: Domain, ann: Any, bob: Any) -> Event:
    return domain.event(ann.email, bob.email, DAN)


async def page(asking: Any, event: Event, **params: Any) -> dict[str, Any]:
    answer = await asking.get(f"/events/{event.id}/deliveries", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(asking: Any, event: Event, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await page(asking, event, **params))["items"]
    return items


def whom(items: list[dict[str, Any]]) -> list[tuple[int, str | None]]:
    return [(item["revision"], item["person"] and item["person"]["email"]) for item in items]


def email_on(connection: Connection) -> None:
    connection.execute(text("UPDATE changes SET email_on = true"))


async def test_all_is_said_of_what_was_sent(domain: Domain, event: Event, ann: Any, bob: Any) -> None:
    domain.connection.execute(text("UPDATE participants SET name = 'Bobby' WHERE email = :bob"), {"bob": bob.email})
    domain.tell(event.creation, bob.email)
    tries = [(Outcome.LATER, 451, "not now, bob"), (Outcome.ACCEPTED, 250, "queued for bob")]
    domain.delivery(event.creation, bob.email, state=State.SENT, tries=tries)
    [item] = await listed(ann, event)
    assert item.pop("changed_at").endswith("Z")
    assert item.pop("told_at").endswith("Z")
    [delivery] = item.pop("deliveries")
    assert item == {
        "revision": 1,
        "kind": "invitation",
        "person": {"email": bob.email, "name": "Bobby"},
        "held_at": None,
        "rejected_at": None,
        "text": None,
    }
    assert delivery.pop("finished_at").endswith("Z")
    assert delivery == {
        "type": "email",
        "state": "sent",
        "reason": None,
        "text": "It was sent.",
        "superseded_by": None,
        "outcome_unknown": False,
        "attempts": 2,
        "last_status": 250,
        "due_at": None,
    }


@pytest.mark.parametrize("reason", Reason)
async def test_what_others_have_chosen_is_not_told(
    reason: Reason, domain: Domain, event: Event, ann: Any, bob: Any
) -> None:
    [state, *_] = [state for state, those in BELONGS.items() if reason in those]
    for person in (ann, bob):
        domain.tell(event.creation, person.email)
        domain.delivery(event.creation, person.email, state=state, reason=reason, due_at=FUTURE)
    found = {item["person"]["email"]: item["deliveries"][0] for item in await listed(ann, event)}
    # What is the organizer's own is.
    assert found[ann.email]["reason"] == reason
    shown = found[bob.email]
    assert shown["reason"] == ("own_choice" if reason in PRIVATE else reason)
    if reason in PRIVATE:
        assert shown["due_at"] is None
        assert "choice" in shown["text"]
        assert "March" not in shown["text"]
    else:
        assert shown["text"] == found[ann.email]["text"]
        assert (shown["due_at"] is None) == (state in (State.DEAD, State.SUPERSEDED))


async def test_who_has_no_delivery_chose_so(domain: Domain, event: Event, ann: Any, bob: Any) -> None:
    domain.tell(event.creation, bob.email)
    [item] = await listed(ann, event)
    assert (item["deliveries"], item["text"]) == (
        [],
        "It is in Planner only: this Planner did not send e-mail.",
    )
    email_on(domain.connection)
    [item] = await listed(ann, event)
    assert item["text"] == "It is in Planner, but on no channel, by their own choice."
    answer = domain.change(event, Kind.RESPONSE, actor=bob.email)
    domain.tell(answer, ann.email)
    [item] = await listed(ann, event, revision=2)
    assert item["text"] == "It is in Planner, but on none of your channels; explain says why."
    assert item["person"] == {"email": ann.email, "name": "Ann"}


async def test_held_changes_stand_among_the_others(domain: Domain, event: Event, ann: Any, bob: Any) -> None:
    domain.tell(event.creation, bob.email)
    held = domain.change(event, Kind.UPDATE, actor=ann.email)
    domain.connection.execute(text("UPDATE changes SET held_at = now() WHERE id = :id"), {"id": held})
    waiting = domain.change(event, Kind.UPDATE, actor=ann.email)  # a moment, until it is fanned out
    deletion = domain.change(event, Kind.DELETION, actor=ann.email)
    domain.connection.execute(text("UPDATE changes SET held_at = now() WHERE id = :id"), {"id": deletion})
    items = await listed(ann, event)
    assert whom(items) == [(2, None), (1, bob.email)]
    assert items[0]["held_at"].endswith("Z")
    assert items[0]["told_at"] is None
    assert "administrator has to approve it first" in items[0]["text"]
    assert whom(await listed(ann, event, state="held")) == [(2, None)]
    assert whom(await listed(ann, event, person=bob.email)) == [(1, bob.email)]
    assert waiting > held
    found = [await page(ann, event, limit=1)]
    while found[-1]["next_cursor"]:
        found.append(await page(ann, event, limit=1, cursor=found[-1]["next_cursor"]))
    assert [whom(each["items"]) for each in found] == [[(2, None)], [(1, bob.email)]]
    domain.connection.execute(
        text("""
            UPDATE changes SET held_at = NULL, decided_by = person_id, decided_at = now(), notify = false
              FROM accounts WHERE email = 'ann@example.org' AND changes.id = :id
        """),
        {"id": held},
    )
    assert await listed(ann, event, state="held") == []
    [rejected, _] = await listed(ann, event)
    assert rejected["held_at"] is None
    assert rejected["rejected_at"].endswith("Z")
    assert "approve it, and did not" in rejected["text"]


async def test_pages_go_from_the_newest_change_to_the_oldest(domain: Domain, event: Event, ann: Any, bob: Any) -> None:
    changes = [event.creation, *(domain.change(event, Kind.UPDATE, actor=ann.email) for _ in range(2))]
    people = sorted([bob.email, DAN, EVE], key=person_id, reverse=True)
    for change in changes:
        domain.tell(change, *people)
        for person in people:
            domain.delivery(change, person)
            domain.delivery(change, person, ChannelType.WEBHOOK, channel_id=person_id(f"pager of {person}"))
    found: list[list[tuple[int, str | None]]] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        answer = await page(ann, event, **params)
        assert all(len(item["deliveries"]) == 2 for item in answer["items"])
        found.append(whom(answer["items"]))
        if answer["next_cursor"] is None:
            break
        params["cursor"] = answer["next_cursor"]
    # Eve has never been in the event: an inconsistency that is to be seen.
    named = [None if person == EVE else person for person in people]
    every = [(revision, email) for revision in (3, 2, 1) for email in named]
    assert found == [every[0:2], every[2:4], every[4:6], every[6:8], every[8:]]
    assert (await page(ann, event, limit=9))["next_cursor"] is None


async def test_filters(domain: Domain, event: Event, ann: Any, bob: Any) -> None:
    update = domain.change(event, Kind.UPDATE, actor=ann.email)
    for change in (event.creation, update):
        domain.tell(change, bob.email, DAN)
    domain.delivery(event.creation, bob.email, state=State.SENT)
    domain.delivery(event.creation, bob.email, ChannelType.WEBHOOK, State.DEAD, channel_id=person_id("pager"))
    domain.delivery(event.creation, DAN, state=State.SENT)
    domain.delivery(update, bob.email, state=State.DEAD, reason=Reason.TRIES)
    assert set(whom(await listed(ann, event, revision=1))) == {(1, bob.email), (1, DAN)}
    assert whom(await listed(ann, event, person="Bob@Example.org")) == [(2, bob.email), (1, bob.email)]
    dead = await listed(ann, event, state="dead")
    assert whom(dead) == [(2, bob.email), (1, bob.email)]
    assert [each["state"] for each in dead[1]["deliveries"]] == ["sent", "dead"]
    assert whom(await listed(ann, event, state="sent", revision=1, person=DAN)) == [(1, DAN)]
    assert await listed(ann, event, state="superseded") == []
    assert await listed(ann, event, person=EVE) == []
    first = await page(ann, event, state="dead", limit=1)
    rest = await page(ann, event, state="dead", limit=1, cursor=first["next_cursor"])
    assert whom(first["items"] + rest["items"]) == whom(dead)
    assert rest["next_cursor"] is None
    for nonsense in ({"state": "lost"}, {"revision": 0}, {"person": "nobody"}, {"cursor": "nonsense"}, {"limit": 0}):
        answer = await ann.get(f"/events/{event.id}/deliveries", params=nonsense)
        assert answer.status_code == 422, nonsense


async def test_who_has_left_is_still_named(domain: Domain, event: Event, ann: Any) -> None:
    removal = domain.change(event, Kind.REMOVAL, actor=ann.email, remove=[DAN])
    domain.tell(removal, DAN)
    domain.delivery(removal, DAN, state=State.SUPERSEDED, reason=Reason.BACK, superseded_by=removal)
    [item] = await listed(ann, event)
    assert item["person"] == {"email": DAN, "name": None}
    assert item["deliveries"][0]["superseded_by"] == 2
    assert item["deliveries"][0]["text"].endswith("See revision 2.")


async def test_another_event_is_another_story(domain: Domain, event: Event, ann: Any, bob: Any) -> None:
    other = domain.event(ann.email, bob.email)
    domain.tell(other.creation, bob.email)
    assert await listed(ann, event) == []


@pytest.mark.parametrize("state", [None, "sent", "dead", "failed", "held"])
async def test_a_page_reads_what_it_shows(
    state: str | None, domain: Domain, event: Event, connection: Connection
) -> None:
    """However many were told: no step reads more than that."""
    connection.execute(
        text("""
            WITH person AS (
                INSERT INTO participants (event_id, person_id, email, since_change)
                SELECT :event, gen_random_uuid(), i || '@example.org', :change FROM generate_series(1, 20000) i
                RETURNING person_id
            ), told AS (
                INSERT INTO notifications (change_id, person_id) SELECT :change, person_id FROM person
            )
            INSERT INTO deliveries (change_id, person_id, channel_id, type, state, finished_at)
            SELECT :change, person_id, person_id, 'email', 'sent', now() FROM person
        """),
        {"event": event.id, "change": event.creation},
    )
    connection.execute(
        text("INSERT INTO notifications (change_id, person_id) SELECT -i, uuidv7() FROM generate_series(1, 20000) i")
    )
    for table in ("participants", "notifications", "deliveries", "changes"):
        connection.exec_driver_sql(f"ANALYZE {table}")
    statement, values = Asked(state=state).statement(event.id, 51)
    explain = text("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement.text)
    [[plan]] = connection.execute(explain, values).scalars()
    most = max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in nodes(plan["Plan"]))
    assert most <= 52, plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step of a plan that was taken."""
    if plan["Actual Loops"]:
        yield plan
    for step in plan.get("Plans", []):
        yield from nodes(step)
