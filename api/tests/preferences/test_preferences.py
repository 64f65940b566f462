"""What reaches whom: kinds by channel, quiet hours, the digest of e-mail."""

import asyncio
from datetime import time
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from planner_api.schemas.channels import Attempt, ChannelDelivery, Type
from planner_api.schemas.notifications import NotificationKind
from planner_common.deliveries import DEFAULT_KINDS, KINDS, ROUTED, ChannelType, Outcome, Purpose, State
from sqlalchemy import text

from api.tests.conftest import Person

from .conftest import DEFAULTS, Kept, Make

UNTOUCHED = {
    "quiet_hours": None,
    "email": {"kinds": DEFAULTS, "digest": "none", "paused": False},
    "channels": [],
    "free_busy": "everyone_i_meet",
}
CHANGED = {
    "quiet_hours": {"from": "22:00", "to": "07:30"},
    "email": {"kinds": ["cancellation", "response"], "digest": "daily", "paused": True},
    "channels": [],
    "free_busy": "nobody",
}


async def test_untouched_all_but_answers_come_by_email(ann: Person, kept: Kept) -> None:
    assert list(DEFAULT_KINDS) == DEFAULTS
    answer = await ann.get("/me/preferences")
    assert (answer.status_code, answer.json()) == (200, UNTOUCHED)
    assert kept.rows("SELECT * FROM preferences") == []
    # To say what is so anyway ends and begins nothing.
    assert (await ann.put("/me/preferences", json=UNTOUCHED)).json() == UNTOUCHED
    assert kept.routes(ann.person_id) == []


async def test_what_is_put_is_what_is_got(ann: Person, bob: Person, kept: Kept) -> None:
    put = await ann.put("/me/preferences", json=CHANGED)
    assert (put.status_code, put.json()) == (200, CHANGED)
    assert (await ann.get("/me/preferences")).json() == CHANGED
    assert (await bob.get("/me/preferences")).json() == UNTOUCHED
    [row] = kept.rows("SELECT * FROM preferences")
    assert (row.person_id, row.quiet_from, row.quiet_to) == (ann.person_id, time(22), time(7, 30))
    assert (row.email_digest, row.email_paused_at is None) == ("daily", False)
    [route] = kept.routes(ann.person_id)
    assert (route.person_id, route.type, route.kinds) == (ann.person_id, "email", ["cancellation", "response"])

    assert (await ann.put("/me/preferences", json=CHANGED)).json() == CHANGED
    [again] = kept.rows("SELECT * FROM preferences")
    assert again.email_paused_at == row.email_paused_at, "a pause that goes on keeps its beginning"
    assert kept.routes(ann.person_id) == [route], "what is as it was keeps its route"

    assert (await ann.put("/me/preferences", json=UNTOUCHED)).json() == UNTOUCHED
    assert kept.kinds(ann.person_id) == DEFAULTS
    [row] = kept.rows("SELECT * FROM preferences")
    assert (row.quiet_from, row.email_paused_at) == (None, None)


async def test_a_route_ends_as_the_next_begins(ann: Person, kept: Kept) -> None:
    for kinds in (["removal"], [], ["reminder", "update", "update"], ["update", "reminder"]):
        body = UNTOUCHED | {"email": {"kinds": kinds, "digest": "none", "paused": False}}
        assert (await ann.put("/me/preferences", json=body)).status_code == 200
    first, second, third = kept.routes(ann.person_id)
    assert [first.kinds, second.kinds, third.kinds] == [["removal"], [], ["update", "reminder"]]
    assert first.since < first.until == second.since < second.until == third.since
    assert third.until is None


async def test_each_channel_takes_its_own_kinds(ann: Person, make: Make, kept: Kept) -> None:
    hook, chat = await make("webhook"), await make("apprise")
    waiting = await make("email", verified=False)
    seen = (await ann.get("/me/preferences")).json()
    assert seen == UNTOUCHED | {"channels": [{"id": one["id"], "kinds": DEFAULTS} for one in (hook, chat)]}
    seen["channels"][1]["kinds"] = list(KINDS)
    assert (await ann.put("/me/preferences", json=seen)).json() == seen
    assert len(kept.routes(hook["id"])) == 1
    assert [(route.type, route.kinds) for route in kept.routes(chat["id"])] == [
        ("apprise", DEFAULTS),
        ("apprise", list(KINDS)),
    ]
    assert kept.routes(waiting["id"]) == []
    assert kept.routes(ann.person_id) == []


async def test_a_change_is_told_by_the_routes_of_its_time(ann: Person, make: Make, kept: Kept) -> None:
    """The statement of the fan-out, on what was written here."""
    hook = await make("webhook")
    event = kept.event(ann, ann.person_id)
    told = text("""
        INSERT INTO changes (event_id, revision, kind, audience_size, at)
        VALUES (:event, :revision, 'response', 1, clock_timestamp()) RETURNING id
    """)
    routed = text(f"""
        WITH told AS (SELECT CAST(:change AS bigint) AS change_id, CAST(:person AS uuid) AS person_id)
        SELECT channel_id FROM ({ROUTED}) routed
    """)

    def channels(change: int) -> set[UUID]:
        values = {"change": change, "person": ann.person_id, "email_on": True}
        return set(kept.connection.execute(routed, values).scalars())

    before = kept.connection.execute(told, {"event": event, "revision": 2}).scalar_one()
    body = UNTOUCHED | {
        "email": {"kinds": ["response"], "digest": "none", "paused": False},
        "channels": [{"id": hook["id"], "kinds": ["response"]}],
    }
    assert (await ann.put("/me/preferences", json=body)).status_code == 200
    after = kept.connection.execute(told, {"event": event, "revision": 3}).scalar_one()
    assert (await ann.put(f"/events/{event}/mute")).status_code == 204
    muted = kept.connection.execute(told, {"event": event, "revision": 4}).scalar_one()
    assert [channels(change) for change in (before, after, muted)] == [set(), {ann.person_id, UUID(hook["id"])}, set()]


def email(**changes: Any) -> dict[str, Any]:
    return {"email": {"kinds": [], "digest": "none", "paused": False} | changes}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"quiet_hours": {"from": "22:00"}}, "/quiet_hours/to"),
        ({"quiet_hours": {"from": "24:00", "to": "07:00"}}, "/quiet_hours/from"),
        ({"quiet_hours": {"from": "22:00:00", "to": "07:00"}}, "/quiet_hours/from"),
        ({"quiet_hours": {"from": 22, "to": "07:00"}}, "/quiet_hours/from"),
        ({"quiet_hours": {"from": "22:00", "to": "22:00"}}, "/quiet_hours/to"),
        ({"quiet_hours": {"from_": "22:00", "to": "07:00"}}, "/quiet_hours/from"),
        (email(kinds=["invitation", "gossip"]), "/email/kinds/1"),
        (email(kinds="invitation"), "/email/kinds"),
        (email(digest="weekly"), "/email/digest"),
        (email(paused="no"), "/email/paused"),
        (email(more=1), "/email/more"),
        ({"channels": [{"id": "none", "kinds": []}]}, "/channels/0/id"),
        ({"channels": [{"id": str(uuid4()), "kinds": []}]}, "/channels/0/id"),
        ({"channels": [{"kinds": []}]}, "/channels/0/id"),
        ({"time_zone": "UTC"}, "/time_zone"),
    ],
)
async def test_a_fault_is_pointed_at_and_nothing_changes(
    ann: Person, kept: Kept, change: dict[str, Any], pointer: str
) -> None:
    refused = await ann.put("/me/preferences", json=CHANGED | change)
    assert refused.status_code == 422, refused.text
    assert pointer in [fault["pointer"] for fault in refused.json()["errors"]]
    assert kept.rows("SELECT * FROM preferences") == []
    assert kept.routes(ann.person_id) == []


@pytest.mark.parametrize("part", ["quiet_hours", "email", "channels"])
async def test_no_part_may_be_left_out(ann: Person, part: str) -> None:
    refused = await ann.put("/me/preferences", json={name: value for name, value in CHANGED.items() if name != part})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == f"/{part}"


async def test_every_verified_channel_is_named_once_and_no_other(
    ann: Person, bob: Person, make: Make, kept: Kept
) -> None:
    hook, waiting, foreign = await make("webhook"), await make("email", verified=False), await make("email", bob)
    ended = await make("apprise")
    assert (await ann.delete(f"/me/channels/{ended['id']}")).status_code == 204
    lacking = await ann.put("/me/preferences", json=CHANGED)
    assert lacking.status_code == 422
    assert lacking.json()["errors"][0]["pointer"] == "/channels"
    assert hook["id"] in lacking.json()["detail"]
    for other in (waiting["id"], foreign["id"], ended["id"], hook["id"], str(ann.person_id)):
        channels = [{"id": one, "kinds": []} for one in (hook["id"], other)]
        refused = await ann.put("/me/preferences", json=CHANGED | {"channels": channels})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/channels/1/id"
    assert kept.kinds(hook["id"]) == kept.kinds(foreign["id"]) == DEFAULTS
    assert kept.rows("SELECT * FROM preferences") == []


async def test_at_once_they_leave_one_open_route(ann: Person, make: Make, kept: Kept) -> None:
    hook = await make("webhook")

    async def put(kinds: list[str]) -> None:
        channels = [{"id": hook["id"], "kinds": kinds}]
        body = {"quiet_hours": None, "channels": channels} | email(kinds=kinds)
        answer = await ann.put("/me/preferences", json=body)
        assert answer.status_code == 200, answer.text

    await asyncio.gather(*(put([kind]) for kind in KINDS))
    for channel in (ann.person_id, hook["id"]):
        routes = kept.routes(channel)
        assert len(routes) == len(KINDS) + (channel == hook["id"])
        assert [route.until for route in routes] == [route.since for route in routes[1:]] + [None]
    assert kept.kinds(ann.person_id) == kept.kinds(hook["id"]), "the last one set both"


async def test_tokens_read_and_write_by_their_scopes(ann: Person) -> None:
    for scopes, expected in ((["read"], 403), (["read", "write"], 200)):
        token = (await ann.post("/me/tokens", json={"name": "script", "scopes": scopes})).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await ann.client.get("/api/v1/me/preferences", headers=headers)).status_code == 200
        put = await ann.client.put("/api/v1/me/preferences", headers=headers, json=CHANGED)
        assert put.status_code == expected
    assert (await ann.client.get("/api/v1/me/preferences")).status_code == 401
    assert (await ann.client.put("/api/v1/me/preferences", json=CHANGED)).status_code == 401


def test_the_words_are_those_of_deliveries() -> None:
    assert get_args(NotificationKind) == KINDS
    shown = ChannelDelivery.model_fields
    assert set(get_args(shown["state"].annotation)) == set(State)
    assert set(get_args(shown["purpose"].annotation)) == set(Purpose)
    assert set(get_args(Type)) == set(ChannelType)
    outcome = get_args(Attempt.model_fields["outcome"].annotation)[0]
    assert set(get_args(outcome)) == set(Outcome)
