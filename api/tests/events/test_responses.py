"""Answers to invitations."""

import asyncio
from typing import Any

from sqlalchemy import Connection

from .conftest import Log, Make, login

YES = {"json": {"response": "accepted"}}


async def test_an_answer_is_kept_and_the_organizer_told(ann: Any, bob: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org", "carl@example.org")
    path = f"/events/{event['id']}"
    answer = await bob.put(f"{path}/response", json={"response": "accepted", "comment": "With pleasure"})
    assert answer.status_code == 200, answer.text
    mine = answer.json()
    assert (mine["response"], mine["comment"], mine["email"]) == ("accepted", "With pleasure", "bob@example.org")
    assert mine["responded_at"] is not None
    seen = (await ann.get(path)).json()
    assert (seen["revision"], seen["my_response"]) == (2, None)
    assert seen["counts"] == {"needs_action": 1, "accepted": 1, "declined": 0, "tentative": 0}
    assert (await bob.get(path)).json()["my_response"] == "accepted"
    change = log.of(event["id"])[-1]
    assert (change.kind, change.actor, change.audience_size) == ("response", bob.person_id, 1)
    assert change.diff == {"response": ["needs_action", "accepted"], "comment": [None, "With pleasure"]}
    assert log.told(event["id"], "ann@example.org")[-1] == ("response", {"ann@example.org"})


async def test_the_same_answer_again_changes_nothing(bob: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org")
    path = f"/events/{event['id']}/response"
    first, again = await bob.put(path, **YES), await bob.put(path, **YES)
    assert first.json() == again.json()
    assert log.kinds(event["id"]) == ["creation", "response"]
    taken_back = await bob.put(path, json={"response": "needs_action"})
    assert taken_back.json()["responded_at"] is None
    assert log.kinds(event["id"]) == ["creation", "response", "response"]


async def test_only_who_takes_part_answers(ann: Any, bob: Any, make: Make, log: Log) -> None:
    event = await make()
    path = f"/events/{event['id']}/response"
    assert (await ann.put(path, **YES)).status_code == 403
    assert (await bob.put(path, **YES)).status_code == 404
    for nonsense in ({"response": "perhaps"}, {}, {"response": "accepted", "comment": "x" * 1_001}):
        assert (await ann.put(path, json=nonsense)).status_code == 422
    assert log.kinds(event["id"]) == ["creation"]


async def test_a_cancelled_event_takes_no_answers(ann: Any, bob: Any, make: Make) -> None:
    event = await make("bob@example.org")
    await ann.post(f"/events/{event['id']}/cancel")
    answer = await bob.put(f"/events/{event['id']}/response", **YES)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/cancelled")


async def test_comments_are_for_the_organizer(ann: Any, bob: Any, carl: Any, make: Make) -> None:
    event = await make("bob@example.org", "carl@example.org")
    path = f"/events/{event['id']}"
    await bob.put(f"{path}/response", json={"response": "declined", "comment": "Ill"})
    seen = [(await person.get(f"{path}/participants")).json()["items"][0] for person in (ann, bob, carl)]
    assert [(participant["response"], participant["comment"]) for participant in seen] == [
        ("declined", "Ill"),
        ("declined", "Ill"),
        ("declined", None),
    ]


async def test_never_more_than_there_is_room_for(
    ann: Any, client: Any, make: Make, log: Log, app: Any, connection: Connection
) -> None:
    """Fifty answer at once, and ten have a seat."""
    emails = [f"person{number}@example.org" for number in range(50)]
    event = await make(*emails, capacity=10)
    path = f"/events/{event['id']}/response"
    everyone = [login(app, connection, email) for email in emails]
    connections = asyncio.Semaphore(10)  # as many as the pool has: who waits for one longer is answered 503

    async def accept(headers: dict[str, str]) -> Any:
        async with connections:
            return await client.put(f"/api/v1{path}", headers=headers, **YES)

    answers = await asyncio.gather(*(accept(headers) for headers in everyone))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [409] * 40
    assert {answer.json()["type"] for answer in answers if answer.status_code == 409} == {"/problems/full"}
    assert (await ann.get(f"/events/{event['id']}")).json()["counts"]["accepted"] == 10
    assert log.kinds(event["id"]).count("response") == 10

    less = await ann.patch(f"/events/{event['id']}", json={"capacity": 9}, headers={"If-Match": "*"})
    assert (less.status_code, less.json()["type"]) == (409, "/problems/full")
    seated = next(headers for headers, answer in zip(everyone, answers, strict=True) if answer.status_code == 200)
    standing = next(headers for headers, answer in zip(everyone, answers, strict=True) if answer.status_code == 409)
    declined = await client.put(f"/api/v1{path}", headers=seated, json={"response": "declined"})
    assert declined.status_code == 200
    assert (await client.put(f"/api/v1{path}", headers=standing, **YES)).status_code == 200
