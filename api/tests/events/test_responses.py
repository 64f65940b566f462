"""Answers to invitations."""

from typing import Any

from .conftest import Log, Make

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
    assert seen["counts"] == {"needs_action": 1, "accepted": 1, "declined": 0, "tentative": 0, "waiting": 0}
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
