"""A code shows that a channel is its owner's."""

import asyncio
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from planner_common.messages import Channel

from api.tests.conftest import Person

from .conftest import ADDRESSES, DEFAULTS, Kept, Make


@pytest.mark.parametrize("kind", list(ADDRESSES))
async def test_the_right_code_opens_the_channel(ann: Person, make: Make, kept: Kept, kind: str) -> None:
    channel = await make(kind, verified=False)
    before = kept.address(channel["id"])
    verified = await ann.post(f"/me/channels/{channel['id']}/verify", json={"code": before["code"]})
    assert (verified.status_code, verified.json()["verified"]) == (200, True)
    assert kept.address(channel["id"]) == {name: value for name, value in before.items() if name != "code"}
    assert kept.channel(channel["id"]).code_expires_at is None
    [route] = kept.routes(channel["id"])
    assert (route.person_id, route.type, route.kinds, route.until) == (ann.person_id, kind, DEFAULTS, None)
    again = await ann.post(f"/me/channels/{channel['id']}/verify", json={"code": "000000"})
    assert (again.status_code, again.json()) == (200, verified.json()), "it is verified already"
    assert kept.routes(channel["id"]) == [route]


def wrong(code: str) -> dict[str, str]:
    return {"code": f"{(int(code) + 1) % 1_000_000:06}"}


async def test_wrong_codes_are_counted_until_there_is_a_new_one(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("apprise", verified=False)
    address = f"/me/channels/{channel['id']}"
    code = kept.address(channel["id"])["code"]
    for left in (4, 3, 2, 1, 0):
        refused = await ann.post(f"{address}/verify", json=wrong(code))
        assert refused.status_code == 422
        assert refused.json()["errors"] == [
            {"pointer": "/code", "detail": f"is not the code that was sent; tries left: {left}"}
        ]
        assert kept.channel(channel["id"]).code_tries == 5 - left
    late = await ann.post(f"{address}/verify", json={"code": code})
    assert (late.status_code, late.json()["type"]) == (409, "/problems/code-expired")
    assert kept.channel(channel["id"]).verified_at is None
    assert kept.routes(channel["id"]) == []

    queued = await ann.post(f"{address}/code")
    assert queued.status_code == 202
    new = kept.address(channel["id"])["code"]
    assert [(str(one.id), one.purpose) for one in kept.deliveries(channel["id"])][1:] == [(queued.json()["id"], "code")]
    if new != code:
        assert (await ann.post(f"{address}/verify", json={"code": code})).status_code == 422
    assert (await ann.post(f"{address}/verify", json={"code": new})).status_code == 200


async def test_guesses_at_once_are_counted_one_by_one(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook", verified=False)
    body = wrong(kept.address(channel["id"])["code"])
    guesses = [ann.post(f"/me/channels/{channel['id']}/verify", json=body) for _ in range(9)]
    statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert sorted(statuses) == [409] * 4 + [422] * 5


async def test_a_guess_with_an_idempotency_key_counts_too(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook", verified=False)
    body = wrong(kept.address(channel["id"])["code"])
    for tries in (1, 2):
        headers = ann.authorization | {"Idempotency-Key": "the same"}
        address = f"/api/v1/me/channels/{channel['id']}/verify"
        assert (await ann.client.post(address, json=body, headers=headers)).status_code == 422
        assert kept.channel(channel["id"]).code_tries == tries


async def test_right_codes_at_once_open_one_route(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook", verified=False)
    code = {"code": kept.address(channel["id"])["code"]}
    answers = await asyncio.gather(*(ann.post(f"/me/channels/{channel['id']}/verify", json=code) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(kept.routes(channel["id"])) == 1


async def test_a_code_is_good_for_half_an_hour(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook", verified=False)
    row = kept.channel(channel["id"])
    assert row.code_expires_at - row.created_at == timedelta(minutes=30)
    kept.rows("UPDATE channels SET code_expires_at = now() RETURNING id")
    code = {"code": kept.address(channel["id"])["code"]}
    late = await ann.post(f"/me/channels/{channel['id']}/verify", json=code)
    assert (late.status_code, late.json()["type"]) == (409, "/problems/code-expired")


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "१२३४५६", 123456, None])
async def test_what_is_no_code_is_no_try(ann: Person, make: Make, kept: Kept, code: object) -> None:
    channel = await make("webhook", verified=False)
    refused = await ann.post(f"/me/channels/{channel['id']}/verify", json={"code": code})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/code")
    assert kept.channel(channel["id"]).code_tries == 0


async def test_a_verified_channel_needs_no_code(ann: Person, make: Make) -> None:
    channel = await make("webhook")
    refused = await ann.post(f"/me/channels/{channel['id']}/code")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/verified")


async def test_a_new_code_tries_again_what_was_disabled(ann: Person, make: Make, kept: Kept) -> None:
    channel = await make("webhook", verified=False)
    kept.rows("UPDATE channels SET disabled_at = now(), disabled_reason = 'gone' RETURNING id")
    assert (await ann.post(f"/me/channels/{channel['id']}/code")).status_code == 202
    assert (await ann.get(f"/me/channels/{channel['id']}")).json()["disabled"] is None


@pytest.mark.usefixtures("within_an_hour")
async def test_codes_are_limited_by_the_hour(ann: Person, bob: Person, make: Make) -> None:
    mine, other = await make("webhook", verified=False), await make("email", verified=False)
    for number in range(10):
        channel = (mine, other)[number % 2]["id"]
        assert (await ann.post(f"/me/channels/{channel}/code")).status_code == 202
    assert (await ann.post(f"/me/channels/{mine['id']}/code")).status_code == 429
    foreign = await make("email", bob, verified=False)
    assert (await bob.post(f"/me/channels/{foreign['id']}/code")).status_code == 202


async def test_the_dispatcher_is_woken_for_codes_and_tests(ann: Person, make: Make, database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as listener:

        async def woken() -> bool:
            return len([note async for note in listener.notifies(timeout=10, stop_after=1)]) == 1

        await listener.execute(f"LISTEN {Channel.CHANGES}")
        channel = await make("webhook", verified=False)
        assert await woken()
        await ann.post(f"/me/channels/{UUID(channel['id'])}/code")
        assert await woken()
