"""Admins look through deliveries, replay dead ones and decide about what is held."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from fastapi import FastAPI
from planner_common.changes import Kind
from planner_common.deliveries import ChannelType, Lane, Outcome, Purpose, Reason, State
from planner_common.messages import Channel
from planner_common.people import person_id
from sqlalchemy import Connection, text

from common.tests.domain import Domain, Event

from .conftest import Wishes

DAN = "dan@example.org"


@pytest.fixture
def event(domain: Domain, ann: Any, bob: Any) -> Event:
    return domain.event(ann.email, bob.email, DAN)


@pytest.fixture
def dead(domain: Domain, event: Event) -> UUID:
    tries = [(Outcome.LATER, None, "no answer"), (Outcome.REFUSED, 550, "no such user")]
    return domain.delivery(event.creation, DAN, state=State.DEAD, reason=Reason.REFUSED, tries=tries)


async def listed(admin: Any, path: str = "/admin/deliveries", **params: Any) -> list[dict[str, Any]]:
    answer = await admin.get(path, params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def ids(admin: Any, **params: Any) -> list[str]:
    return [item["id"] for item in await listed(admin, **params)]


def actions(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.execute(text("SELECT actor, action, detail FROM admin_actions ORDER BY id"))
    return [tuple(row) for row in rows]


def row(connection: Connection, delivery: UUID) -> Any:
    return connection.execute(text("SELECT * FROM deliveries WHERE id = :id"), {"id": delivery}).one()


async def test_a_dead_one_is_shown_with_all_that_helps(dead: UUID, event: Event, root: Any) -> None:
    [item] = await listed(root)
    for time in ("due_at", "queued_at", "finished_at", "created_at"):
        assert item.pop(time).endswith("Z")
    assert item == {
        "id": str(dead),
        "state": "dead",
        "reason": "refused",
        "type": "email",
        "purpose": "notification",
        "lane": "normal",
        "event": {"id": str(event.id), "title": "Dinner"},
        "kind": "invitation",
        "revision": 1,
        "person": {"id": str(person_id(DAN)), "email": DAN, "name": None},
        "tries": 2,
        "outcome_unknown": False,
        "superseded_by": None,
        "last_answer": {"outcome": "refused", "status": 550, "detail": "no such user"},
    }
    one = await root.get(f"/admin/deliveries/{dead}")
    assert one.status_code == 200
    assert [(a["number"], a["outcome"], a["status"], a["detail"]) for a in one.json()["attempts"]] == [
        (1, "later", None, "no answer"),
        (3, "refused", 550, "no such user"),
    ]
    assert {name: value for name, value in one.json().items() if name in item} == item


async def test_a_code_is_about_no_event(domain: Domain, bob: Any, root: Any) -> None:
    domain.delivery(None, bob.email, ChannelType.APPRISE, State.DEAD, Reason.AGE, purpose=Purpose.CODE)
    [item] = await listed(root)
    assert (item["event"], item["kind"], item["revision"], item["purpose"]) == (None, None, None, "code")
    assert item["person"] == {"id": str(bob.person_id), "email": bob.email, "name": "Bob"}


async def test_filters_and_pages(domain: Domain, dead: UUID, event: Event, bob: Any, root: Any) -> None:
    other = domain.event(event.organizer, bob.email)
    hook = domain.delivery(other.creation, bob.email, ChannelType.WEBHOOK, State.DEAD, Reason.TRIES)
    sent = domain.delivery(other.creation, DAN, state=State.SENT)
    assert await ids(root) == [str(hook), str(dead)]
    assert await ids(root, state="sent") == [str(sent)]
    assert await ids(root, type="email") == [str(dead)]
    assert await ids(root, reason="tries") == [str(hook)]
    assert await ids(root, event=str(event.id)) == [str(dead)]
    assert await ids(root, person="DAN@example.org") == [str(dead)]
    at = row(domain.connection, hook).finished_at
    assert await ids(root, since=at.isoformat()) == [str(hook)]
    assert await ids(root, until=at.isoformat()) == [str(dead)]
    first = (await root.get("/admin/deliveries?limit=1")).json()
    assert [item["id"] for item in first["items"]] == [str(hook)]
    assert await ids(root, limit=1, cursor=first["next_cursor"]) == [str(dead)]
    for nonsense in ("state=lost", "type=pigeon", "reason=x", "event=x", "person=x", "since=x", "cursor=x", "limit=0"):
        assert (await root.get(f"/admin/deliveries?{nonsense}")).status_code == 422, nonsense
    assert (await root.get(f"/admin/deliveries/{UUID(int=7)}")).status_code == 404


async def test_a_replay_is_due_at_once_and_wakes_the_dispatcher(
    dead: UUID, root: Any, connection: Connection, database: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute(f"LISTEN {Channel.CHANGES}")
        answer = await root.post(f"/admin/deliveries/{dead}/replay")
        assert answer.status_code == 202
        assert answer.json() == {"replayed": 1}
        assert [notice async for notice in listener.notifies(timeout=20, stop_after=1)]
    after = row(connection, dead)
    assert (after.state, after.reason, after.tries, after.finished_at) == ("pending", None, 0, None)
    assert actions(connection) == [(root.person_id, "delivery.replay", {"delivery": str(dead)})]
    again = await root.post(f"/admin/deliveries/{dead}/replay")
    assert again.status_code == 409
    assert again.json()["type"] == "/problems/not-dead"
    assert again.json()["detail"] == f"{dead}: it is pending, and only what is dead can be replayed."
    assert len(actions(connection)) == 1


@pytest.mark.parametrize("state", [state for state in State if state != State.DEAD])
async def test_only_what_is_dead_is_replayed(
    state: State, domain: Domain, event: Event, root: Any, connection: Connection
) -> None:
    delivery = domain.delivery(event.creation, DAN, state=state)
    assert (await root.post(f"/admin/deliveries/{delivery}/replay")).status_code == 409
    assert (await root.post("/admin/deliveries/replay", json={})).json() == {"replayed": 0, "more": False}
    assert row(connection, delivery).state == state


async def test_of_two_replays_at_once_one_wins(dead: UUID, root: Any, connection: Connection) -> None:
    answers = await asyncio.gather(*(root.post(f"/admin/deliveries/{dead}/replay") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    assert len(actions(connection)) == 1


async def test_many_are_replayed_by_a_filter(
    domain: Domain, dead: UUID, event: Event, bob: Any, root: Any, connection: Connection
) -> None:
    hook = domain.delivery(event.creation, bob.email, ChannelType.WEBHOOK, State.DEAD, Reason.TRIES)
    until = row(connection, hook).finished_at.isoformat()
    body = {"reason": "refused", "event": str(event.id), "person": DAN, "type": "email", "until": until}
    answer = await root.post("/admin/deliveries/replay", json=body)
    assert answer.status_code == 202
    assert answer.json() == {"replayed": 1, "more": False}
    assert (row(connection, dead).state, row(connection, dead).lane) == ("pending", Lane.BULK)
    assert row(connection, hook).state == "dead"
    [(actor, action, detail)] = actions(connection)
    assert (actor, action, detail["replayed"]) == (root.person_id, "deliveries.replay", 1)
    assert detail["wanted"]["person"] == DAN
    for nonsense in ({"state": "sent"}, {"reason": "muted"}, {"since": "yesterday"}, {"person": "x"}, {"type": 1}):
        assert (await root.post("/admin/deliveries/replay", json=nonsense)).status_code == 422, nonsense


async def test_what_is_not_there_is_not_replayed(root: Any, connection: Connection) -> None:
    assert (await root.post(f"/admin/deliveries/{UUID(int=7)}/replay")).status_code == 404
    assert actions(connection) == []


# ---- what is held


@pytest.fixture
def held(domain: Domain, event: Event) -> int:
    change = domain.change(event, Kind.UPDATE, actor=event.organizer, audience_size=300_000)
    values = {"id": change}
    domain.connection.execute(
        text("UPDATE changes SET held_at = now(), lease_until = now() + interval '1 minute' WHERE id = :id"), values
    )
    return change


def changed(connection: Connection, change: int) -> Any:
    return connection.execute(text("SELECT * FROM changes WHERE id = :id"), {"id": change}).one()


async def history(organizer: Any, event: Event) -> list[tuple[bool, str | None]]:
    answer = await organizer.get(f"/events/{event.id}/history")
    assert answer.status_code == 200
    return [(item["held_at"] is not None, item["decision"]) for item in answer.json()["items"]]


async def test_held_changes_are_listed_oldest_first(
    held: int, domain: Domain, event: Event, ann: Any, root: Any
) -> None:
    [item] = await listed(root, "/admin/held")
    assert item.pop("at").endswith("Z")
    assert item.pop("held_at").endswith("Z")
    assert item == {
        "id": held,
        "event": {"id": str(event.id), "title": "Dinner"},
        "revision": 2,
        "kind": "update",
        "actor": {"id": str(ann.account_id), "name": "Ann", "email": ann.email},
        "people": 300_000,
    }
    second = domain.change(event, Kind.UPDATE, actor=None)
    at = changed(domain.connection, held).held_at - timedelta(microseconds=1)
    domain.connection.execute(text("UPDATE changes SET held_at = :at WHERE id = :id"), {"id": second, "at": at})
    first = (await root.get("/admin/held?limit=1")).json()
    assert [(item["id"], item["actor"]) for item in first["items"]] == [(second, None)]
    rest = (await root.get("/admin/held", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in rest["items"]] == [held]
    assert rest["next_cursor"] is None
    assert (await root.get("/admin/held?cursor=nonsense")).status_code == 422


async def test_what_is_approved_goes_at_once(
    held: int, event: Event, ann: Any, bob: Any, root: Any, connection: Connection, database: str
) -> None:
    assert await history(ann, event) == [(False, None), (True, None)]
    assert await history(bob, event) == [(False, None), (False, None)], "that is the organizer's business"
    since = changed(connection, held).held_at
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:
        await listener.execute(f"LISTEN {Channel.CHANGES}")
        answer = await root.post(f"/admin/held/{held}/approve")
        assert answer.status_code == 204, answer.text
        assert [notice async for notice in listener.notifies(timeout=20, stop_after=1)]
    after = changed(connection, held)
    assert (after.held_at, after.lease_until, after.notify, after.fanned_out_at) == (None, None, True, None)
    assert after.decided_by == root.person_id
    assert after.decided_at is not None
    assert await history(ann, event) == [(False, None), (False, "approved")]
    assert await history(bob, event) == [(False, None), (False, None)]
    [(actor, action, detail)] = actions(connection)
    assert (actor, action, detail["change"], detail["event"]) == (
        root.person_id,
        "held.approve",
        held,
        str(event.id),
    )
    assert detail["held_at"].startswith(since.strftime("%Y-%m-%dT%H:%M"))


async def test_what_is_rejected_is_told_to_nobody(
    held: int, event: Event, ann: Any, root: Any, connection: Connection
) -> None:
    assert (await root.post(f"/admin/held/{held}/reject")).status_code == 204
    after = changed(connection, held)
    assert (after.held_at, after.notify, after.decided_by) == (None, False, root.person_id)
    assert await history(ann, event) == [(False, None), (False, "rejected")]
    assert actions(connection)[0][1] == "held.reject"


async def test_it_is_decided_once(held: int, root: Any, connection: Connection) -> None:
    paths = [f"/admin/held/{held}/{decision}" for decision in ("approve", "reject", "approve", "reject")]
    answers = await asyncio.gather(*map(root.post, paths))
    assert sorted(answer.status_code for answer in answers) == [204, 409, 409, 409]
    [problem, *_] = [answer.json() for answer in answers if answer.status_code == 409]
    assert problem["type"] == "/problems/not-held"
    decision = "approved" if changed(connection, held).notify else "rejected"
    assert problem["detail"] == f"Change {held}: it was {decision} already."
    assert len(actions(connection)) == 1
    assert (await root.post(f"/admin/held/{held - 1}/approve")).status_code == 409
    assert (await root.post(f"/admin/held/{2**62}/approve")).status_code == 404
    assert (await root.post(f"/admin/held/{2**63}/approve")).status_code == 422


# ---- who may


ROUTES = [
    ("GET", "/admin/deliveries", None),
    ("GET", "/admin/deliveries/{delivery}", None),
    ("POST", "/admin/deliveries/{delivery}/replay", None),
    ("POST", "/admin/deliveries/replay", {}),
    ("GET", "/admin/held", None),
    ("POST", "/admin/held/{change}/reject", None),
    ("POST", "/admin/held/{change}/approve", None),
]


async def test_every_route_and_every_kind_of_caller(
    dead: UUID, held: int, ann: Any, bob: Any, root: Any, connection: Connection, subtests: pytest.Subtests
) -> None:
    made = await root.post("/me/tokens", json={"name": "robot", "scopes": ["read", "write"]})
    personal = {"Authorization": f"Bearer {made.json()['token']}"}
    callers: list[tuple[str, Any, dict[str, str], int]] = [
        ("nobody", root, {"Authorization": ""}, 401),
        ("an organizer", ann, {}, 403),
        ("a participant", bob, {}, 403),
        ("an admin's personal token", root, personal, 403),
    ]
    for method, template, body in ROUTES:
        path = template.format(delivery=dead, change=held)
        for name, caller, headers, expected in callers:
            with subtests.test(method=method, path=template, caller=name):
                answer = await caller.request(method, path, headers=headers, json=body)
                assert answer.status_code == expected, answer.text
                assert str(dead) not in answer.text
    assert row(connection, dead).state == "dead"
    assert changed(connection, held).held_at is not None
    assert actions(connection) == []
    for method, template, body in ROUTES[:6]:
        answer = await root.request(method, template.format(delivery=dead, change=held), json=body)
        assert answer.status_code in {200, 202, 204}, answer.text


async def test_who_is_dismissed_is_no_admin_from_the_next_request_on(root: Any, connection: Connection) -> None:
    assert (await root.get("/admin/held")).status_code == 200
    connection.execute(text("UPDATE accounts SET admin = false"))
    assert (await root.get("/admin/held")).status_code == 403


async def test_deliveries_of_an_event_are_its_organizers(
    event: Event, ann: Any, bob: Any, carl: Any, root: Any, app: FastAPI
) -> None:
    path = f"/events/{event.id}/deliveries"
    made = await ann.post("/me/tokens", json={"name": "robot", "scopes": ["read"]})
    personal = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await ann.get(path)).status_code == 200
    assert (await ann.get(path, headers=personal)).status_code == 200
    assert (await bob.get(path)).status_code == 403
    for outsider in (carl, root):
        assert (await outsider.get(path)).status_code == 404
    assert (await ann.get(f"/events/{UUID(int=7)}/deliveries")).status_code == 404
    assert (await ann.get(path, headers={"Authorization": ""})).status_code == 401


# ---- what nobody sees


async def test_no_answer_has_an_address_that_is_sealed(
    domain: Domain, event: Event, ann: Any, bob: Any, root: Any, wishes: Wishes
) -> None:
    [notification] = domain.tell(event.creation, bob.email)
    hook = wishes.channel(bob, "Bob's pager")
    wishes.route(bob, hook, "invitation")
    tries = [(Outcome.REFUSED, 410, "the answer of Bob's server")]
    delivery = domain.delivery(
        event.creation, bob.email, ChannelType.WEBHOOK, State.DEAD, Reason.REFUSED, channel_id=hook, tries=tries
    )
    answers = {
        "explain": (await bob.get(f"/notifications/{notification}/explain")).text,
        "organizer": (await ann.get(f"/events/{event.id}/deliveries")).text,
        "list": (await root.get("/admin/deliveries")).text,
        "show": (await root.get(f"/admin/deliveries/{delivery}")).text,
        "replay": (await root.post(f"/admin/deliveries/{delivery}/replay")).text,
        "refused": (await root.post(f"/admin/deliveries/{delivery}/replay")).text,
        "replay all": (await root.post("/admin/deliveries/replay", json={})).text,
        "held": (await root.get("/admin/held")).text,
        "history": (await ann.get(f"/events/{event.id}/history")).text,
    }
    for name, answer in answers.items():
        assert "s3cr3t" not in answer, name
        assert wishes.sealed.decode() not in answer, name
        assert "hooks.example.com" not in answer, name
    # What a server answered is for its owner, and for admins, who are to find the fault. So is a channel's name.
    assert {name for name, answer in answers.items() if "Bob's server" in answer} == {"explain", "list", "show"}
    assert {name for name, answer in answers.items() if "Bob's pager" in answer} == {"explain"}
    assert {name for name, answer in answers.items() if str(hook) in answer} == {"explain"}
