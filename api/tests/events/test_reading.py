"""Events read: one, a list, their history; from the cache, and never stale."""

from typing import Any

import pytest
from planner_common.settings import Settings
from redis import Redis
from sqlalchemy import Connection, text

from .conftest import Log, Make


def day(number: int) -> dict[str, Any]:
    return {"start": {"date": f"2031-05-{number:02}"}, "end": {"date": f"2031-05-{number + 1:02}"}}


async def listed(person: Any, **query: Any) -> list[str]:
    answer = await person.get("/events", params=query)
    assert answer.status_code == 200, answer.text
    return [event["title"] for event in answer.json()["items"]]


async def test_who_has_this_revision_gets_no_body(ann: Any, make: Make) -> None:
    event = await make()
    path = f"/events/{event['id']}"
    for etag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        answer = await ann.get(path, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"')
    for etag in ('"2"', "1", "nonsense"):
        answer = await ann.get(path, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.json()) == (200, event)


async def test_an_answer_from_the_cache_is_the_same_and_never_stale(
    ann: Any, bob: Any, make: Make, settings: Settings
) -> None:
    event = await make("bob@example.org")
    path = f"/events/{event['id']}"
    fresh = await ann.get(path)
    with Redis.from_url(settings.cache()) as cache:
        (key,) = cache.keys()
        assert b":1:" in key
        assert cache.ttl(key) > 0
        cache.set(key, cache.get(key).replace(b"Retrospective", b"From the cache"))
    cached = await ann.get(path)
    assert cached.json() == fresh.json() | {"title": "From the cache"}
    assert cached.headers["ETag"] == '"1"'
    assert cached.headers["Content-Type"] == fresh.headers["Content-Type"]
    # What the revision says nothing about is not cached: who asks, and what the organizer is called.
    await ann.patch("/me", json={"name": "Anna"})
    seen = (await bob.get(path)).json()
    assert (seen["title"], seen["my_response"], seen["organizer"]["name"]) == ("From the cache", "needs_action", "Anna")
    await ann.patch(path, json={"location": "Room 5"}, headers={"If-Match": '"1"'})
    assert [(await bob.get(path)).json()[name] for name in ("title", "location")] == ["Retrospective", "Room 5"]
    await ann.delete(path, headers={"If-Match": "*"})
    assert (await bob.get(path)).status_code == 404


async def test_mine_by_start(ann: Any, bob: Any, make: Make) -> None:
    await make("bob@example.org", title="third", **day(3))
    await make(title="first", **day(1))
    await bob.post("/events", json={"title": "second", **day(2), "participants": [{"email": "ann@example.org"}]})
    await bob.post("/events", json={"title": "Bob's own", **day(2)})
    both = await make("ann@example.org", title="fourth", **day(4))
    assert await listed(ann) == ["first", "second", "third", "fourth"]
    assert await listed(ann, role="organizer") == ["first", "third", "fourth"]
    assert await listed(ann, role="participant") == ["second", "fourth"]
    assert await listed(bob) == ["second", "Bob's own", "third"] or await listed(bob) == [
        "Bob's own",
        "second",
        "third",
    ]
    shown = (await ann.get("/events")).json()["items"][-1]
    assert shown == {**both, "my_response": "needs_action"}


async def test_between_two_instants(ann: Any, make: Make, connection: Connection) -> None:
    for number in (1, 2, 3):
        await make(title=f"day {number}", **day(number))
    moment = await make(title="moment", **day(2))
    connection.execute(text("UPDATE events SET ends_at = starts_at WHERE id = :id"), {"id": moment["id"]})
    assert await listed(ann, **{"from": "2031-05-02T00:00:00Z"}) == ["day 2", "moment", "day 3"]
    assert await listed(ann, **{"from": "2031-05-02T00:00:01Z"}) == ["day 2", "day 3"]
    assert await listed(ann, to="2031-05-02T00:00:00Z") == ["day 1"]
    assert await listed(ann, **{"from": "2031-05-02T02:00:00+02:00", "to": "2031-05-02T23:00:00Z"}) == [
        "day 2",
        "moment",
    ]


async def test_by_words_and_status(ann: Any, make: Make) -> None:
    await make(title="100% sure", **day(1))
    await make(title="1000 sure", description="with Cake", **day(2))
    gone = await make(title="a_b", location="Cake shop", **day(3))
    await ann.post(f"/events/{gone['id']}/cancel")
    assert await listed(ann, q="0% s") == ["100% sure"]
    assert await listed(ann, q="_") == ["a_b"]
    assert await listed(ann, q="\\") == []
    assert await listed(ann, q="cake") == ["1000 sure", "a_b"]
    assert await listed(ann, q="cake", status="cancelled") == ["a_b"]
    assert await listed(ann, status="confirmed") == ["100% sure", "1000 sure"]
    assert await listed(ann, q="'; DROP TABLE events; --") == []


async def test_a_page_at_a_time(ann: Any, bob: Any, make: Make) -> None:
    for number in range(7):
        await make(title=f"event {number}", **day(1 + number // 3))
    await bob.post("/events", json={"title": "Bob's", **day(2), "participants": [{"email": "ann@example.org"}]})
    everything = await listed(ann)
    found: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    sizes = []
    while True:
        page = (await ann.get("/events", params=query)).json()
        found += [event["title"] for event in page["items"]]
        sizes.append(len(page["items"]))
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert (found, sizes) == (everything, [3, 3, 2])


async def test_queries_that_make_no_sense(ann: Any, subtests: pytest.Subtests) -> None:
    for name, value in [
        ("cursor", "x"),
        ("cursor", "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwgIngiXQ"),  # a start before the first year
        ("cursor", "bnVsbA"),
        ("limit", "0"),
        ("limit", "201"),
        ("from", "yesterday"),
        ("from", "2031-05-02T00:00:00"),
        ("from", "1900000000"),
        ("from", "0001-01-01T00:00:00+14:00"),
        ("to", "9999-12-31T23:59:59-12:00"),
        ("status", "gone"),
        ("role", "king"),
        ("q", "x" * 201),
        ("q", "\0"),
    ]:
        with subtests.test(name=name, value=value):
            answer = await ann.get("/events", params={name: value})
            assert answer.status_code == 422, answer.text


async def test_history(ann: Any, bob: Any, carl: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org", "carl@example.org", "dora@example.org")
    path = f"/events/{event['id']}"
    await ann.patch(path, json={"title": "Review"}, headers={"If-Match": '"1"'})
    await bob.put(f"{path}/response", json={"response": "accepted"})
    await carl.put(f"{path}/response", json={"response": "declined"})
    dora = (await ann.get(f"{path}/participants")).json()["items"][2]["id"]
    await ann.delete(f"{path}/participants/{dora}")
    everything: list[Any] = []
    query: dict[str, Any] = {"limit": 2}
    while query.get("cursor", "") is not None:
        page = (await ann.get(f"{path}/history", params=query)).json()
        everything += page["items"]
        query["cursor"] = page["next_cursor"]
    assert [(change["revision"], change["kind"]) for change in everything] == list(
        enumerate(["creation", "update", "response", "response", "removal"], start=1)
    )
    assert everything[1] == everything[1] | {
        "actor": {"id": str(ann.account_id), "name": "Ann", "email": "ann@example.org"},
        "diff": {"title": ["Retrospective", "Review"]},
    }
    seen = (await bob.get(f"{path}/history")).json()["items"]
    assert [change["kind"] for change in seen] == ["creation", "update", "response"]
    assert seen[-1]["actor"]["name"] == "Bob"
    refused = await ann.get(f"{path}/history", params={"cursor": "WzkyMjMzNzIwMzY4NTQ3NzU4MDhd"})  # 2^63
    assert refused.status_code == 422
