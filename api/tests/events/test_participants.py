"""Who is in an event: added, listed, taken out."""

import asyncio
from typing import Any

from planner_api.schemas.participants import Participants
from sqlalchemy import Connection, text

from .conftest import Log, Make


def people(*emails: str) -> dict[str, Any]:
    return {"json": {"participants": [{"email": email} for email in emails]}}


async def test_only_who_is_new_is_added_and_told(ann: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org")
    path = f"/events/{event['id']}/participants"
    added = await ann.post(path, **people("BOB@example.org", "carl@example.org", "Carl@example.org"))
    assert added.status_code == 201, added.text
    assert added.headers["Location"] == f"/api/v1{path}"
    assert added.json() == {"added": 1, "unchanged": 1, "revision": 2}
    again = await ann.post(path, **people("bob@example.org", "carl@example.org"))
    assert (again.status_code, again.json()) == (200, {"added": 0, "unchanged": 2, "revision": 2})
    assert log.told(event["id"], "bob@example.org", "carl@example.org") == [
        ("creation", {"bob@example.org"}),
        ("invitation", {"carl@example.org"}),
    ]
    change = log.of(event["id"])[-1]
    assert (change.diff, change.audience_size) == ({"participants": {"added": 1}}, 1)


async def test_ten_thousand_are_one_change(ann: Any, make: Make, log: Log) -> None:
    event = await make()
    emails = [f"person{number}@example.org" for number in range(10_001)]
    path = f"/events/{event['id']}/participants"
    refused = await ann.post(path, **people(*emails))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/participants")
    added = await ann.post(path, **people(*emails[:10_000]))
    assert added.json() == {"added": 10_000, "unchanged": 0, "revision": 2}
    assert log.kinds(event["id"]) == ["creation", "invitation"]
    assert (await ann.get(f"/events/{event['id']}")).json()["counts"]["needs_action"] == 10_000


async def test_added_twice_at_once_is_added_once(ann: Any, make: Make, log: Log, connection: Connection) -> None:
    event = await make()
    path = f"/events/{event['id']}/participants"
    lists = [people(*(f"person{n}@example.org" for n in range(start, start + 5))) for start in (0, 2, 0, 4)]
    answers = await asyncio.gather(*(ann.post(path, **those) for those in lists))
    assert sum(answer.json()["added"] for answer in answers) == 9
    count = text("SELECT count(*), count(DISTINCT person_id) FROM participants")
    assert connection.execute(count).one() == (9, 9)
    assert log.kinds(event["id"])[1:] == ["invitation"] * sum(answer.status_code == 201 for answer in answers)


async def test_listed_a_page_at_a_time(ann: Any, bob: Any, make: Make) -> None:
    event = await make("bob@example.org", "b@example.org", "c@example.org")
    path = f"/events/{event['id']}/participants"
    await ann.post(path, **people("d@example.org", "e@example.org"))
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await bob.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        found += [participant["email"] for participant in page["items"]]
        cursor = page["next_cursor"]
    assert found == [f"{name}@example.org" for name in ("bob", "b", "c", "d", "e")]
    for nonsense in ("x", "W10", "WzEsMl0", "e30", "W251bGwsbnVsbF0", "WzFlNDAwLCAieCJd"):
        answer = await ann.get(path, params={"cursor": nonsense})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/cursor")


async def test_who_is_taken_out_is_told_and_gone(ann: Any, bob: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org", "carl@example.org")
    path = f"/events/{event['id']}"
    first = (await ann.get(f"{path}/participants")).json()["items"][0]
    assert first["email"] == "bob@example.org"
    removed = await ann.delete(f"{path}/participants/{first['id']}")
    assert removed.status_code == 204, removed.text
    for answer in (await bob.get(path), await bob.put(f"{path}/response", json={"response": "accepted"})):
        assert answer.status_code == 404
    assert (await bob.get("/events")).json()["items"] == []
    assert (await ann.delete(f"{path}/participants/{first['id']}")).status_code == 404
    etag = (await ann.get(path)).headers["ETag"]
    await ann.patch(path, json={"title": "Without Bob"}, headers={"If-Match": etag})
    await ann.post(f"{path}/participants", **people("bob@example.org"))
    assert log.told(event["id"], "bob@example.org", "carl@example.org") == [
        ("creation", {"bob@example.org", "carl@example.org"}),
        ("removal", {"bob@example.org"}),
        ("update", {"carl@example.org"}),
        ("invitation", {"bob@example.org"}),
    ]
    assert log.of(event["id"])[1].diff == {"removed": ["bob@example.org"]}


async def test_a_participant_of_another_event_is_not_taken_out(ann: Any, make: Make, log: Log) -> None:
    event, other = await make("bob@example.org"), await make("bob@example.org")
    there = (await ann.get(f"/events/{other['id']}/participants")).json()["items"][0]["id"]
    assert (await ann.delete(f"/events/{event['id']}/participants/{there}")).status_code == 404
    assert log.kinds(event["id"]) == log.kinds(other["id"]) == ["creation"]


async def test_a_cancelled_event_keeps_its_people(ann: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org")
    path = f"/events/{event['id']}"
    there = (await ann.get(f"{path}/participants")).json()["items"][0]["id"]
    await ann.post(f"{path}/cancel")
    for answer in (
        await ann.post(f"{path}/participants", **people("carl@example.org")),
        await ann.delete(f"{path}/participants/{there}"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/cancelled")
    assert log.kinds(event["id"]) == ["creation", "cancellation"]


async def test_a_long_list_keeps_nobody_waiting() -> None:
    """Other coroutines get their turns while ten thousand people are read."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    list_of_people = [{"email": f"person{number}@example.org"} for number in range(10_000)]
    assert len(await Participants(participants=list_of_people).people()) == 10_000
    task.cancel()
    assert turns > 5


async def test_a_list_says_where_its_faults_are(ann: Any, make: Make, log: Log) -> None:
    event = await make()
    path = f"/events/{event['id']}/participants"
    faults = [
        {"email": "bob@example.org"},
        {"email": "nobody"},
        "carl@example.org",
        {"email": "dora@example.org", "x": 1},
    ]
    answer = await ann.post(path, json={"participants": faults})
    assert answer.status_code == 422
    pointers = [fault["pointer"] for fault in answer.json()["errors"]]
    assert pointers == ["/participants/1/email", "/participants/2", "/participants/3/x"]
    for nonsense in ([], None, {}, [None] * 10_001):
        answer = await ann.post(path, json={"participants": nonsense})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/participants")
    assert len((await ann.post(path, json={"participants": [{}] * 10_000})).json()["errors"]) == 100
    assert log.kinds(event["id"]) == ["creation"]
