"""Events changed, cancelled, restored and deleted."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, text

from .conftest import EVENT, Log, Make

LATER = {
    "start": {"date_time": "2031-03-29T09:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2031-03-29T10:00:00", "time_zone": "Europe/Berlin"},
}


def if_match(etag: str) -> dict[str, Any]:
    return {"headers": {"If-Match": etag}}


@pytest.mark.parametrize(
    ("fields", "kind", "diff"),
    [
        ({"title": "Review"}, "update", {"title": ["Retrospective", "Review"]}),
        ({"description": "Bring cake", "title": "Retrospective"}, "update", {"description": [None, "Bring cake"]}),
        ({"reminders": [5], "capacity": 3}, "update", {"reminders": [[], [5]], "capacity": [None, 3]}),
        (
            {**LATER, "title": "Review"},
            "reschedule",
            {
                "start": [EVENT["start"], LATER["start"]],
                "end": [EVENT["end"], LATER["end"]],
                "title": ["Retrospective", "Review"],
            },
        ),
        (
            {"start": {"date_time": "2031-03-28T08:00:00", "time_zone": "Europe/London"}},  # the same instant elsewhere
            "reschedule",
            {"start": [EVENT["start"], {"date_time": "2031-03-28T08:00:00", "time_zone": "Europe/London"}]},
        ),
        (
            {"start": {"date": "2031-03-28"}, "end": {"date": "2031-03-29"}},
            "reschedule",
            {"start": [EVENT["start"], {"date": "2031-03-28"}], "end": [EVENT["end"], {"date": "2031-03-29"}]},
        ),
    ],
)
async def test_a_change_is_made_and_logged(
    ann: Any, make: Make, log: Log, fields: dict[str, Any], kind: str, diff: dict[str, Any]
) -> None:
    event = await make("bob@example.org")
    changed = await ann.patch(f"/events/{event['id']}", json=fields, **if_match('"1"'))
    assert changed.status_code == 200, changed.text
    assert changed.headers["ETag"] == '"2"'
    expected = {**event, **fields, "revision": 2}
    same = expected.keys() - {"updated_at", "starts_at", "ends_at", "all_day"}
    assert {name: changed.json()[name] for name in same} == {name: expected[name] for name in same}
    assert (await ann.get(f"/events/{event['id']}")).json() == changed.json()
    change = log.of(event["id"])[-1]
    assert (change.kind, change.diff, change.revision, change.actor) == (kind, diff, 2, ann.person_id)
    assert log.told(event["id"], "bob@example.org")[-1] == (kind, {"bob@example.org"})


async def test_what_changes_nothing_is_no_change(ann: Any, make: Make, log: Log) -> None:
    event = await make()
    for fields in ({}, {"title": EVENT["title"]}, {**EVENT, "description": None, "reminders": []}):
        answer = await ann.patch(f"/events/{event['id']}", json=fields, **if_match('"1"'))
        assert answer.status_code == 200, answer.text
        assert answer.json() == event
    assert log.kinds(event["id"]) == ["creation"]


async def test_null_clears(ann: Any, make: Make) -> None:
    event = await make(description="Bring cake", location="Room 4", url="https://example.org", capacity=3)
    empty = {"description": None, "location": None, "url": None, "capacity": None}
    answer = await ann.patch(f"/events/{event['id']}", json=empty, **if_match('"1"'))
    assert answer.json() == answer.json() | empty


async def test_a_change_names_what_it_is_for(ann: Any, make: Make, subtests: pytest.Subtests) -> None:
    event = await make()
    path = f"/events/{event['id']}"
    await ann.patch(path, json={"title": "Review"}, **if_match('"1"'))
    for etag, status in [(None, 428), ('"1"', 412), ("2", 412), ('W/"2"', 412), ("nonsense", 412)]:
        headers = if_match(etag) if etag else {}
        with subtests.test(etag=etag):
            assert (await ann.patch(path, json={"title": "Outlook"}, **headers)).status_code == status
            assert (await ann.delete(path, **headers)).status_code == status
    for title, etag in [("A", '"2"'), ("B", '"2", "3"'), ("C", "*")]:
        with subtests.test(etag=etag):
            assert (await ann.patch(path, json={"title": title}, **if_match(etag))).status_code == 200


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"title": None}, "/title"),
    ({"start": None}, "/start"),
    ({"reminders": None}, "/reminders"),
    ({"participants": []}, "/participants"),
    ({"end": EVENT["start"]}, "/end"),
    ({"start": EVENT["end"]}, "/start"),
    ({"start": {"date": "2031-03-28"}}, "/start"),
]


async def test_what_makes_no_sense_is_refused(ann: Any, make: Make, log: Log, subtests: pytest.Subtests) -> None:
    event = await make()
    for fields, pointer in NONSENSE:
        with subtests.test(fields=fields):
            answer = await ann.patch(f"/events/{event['id']}", json=fields, **if_match('"1"'))
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["pointer"] == pointer
    assert log.kinds(event["id"]) == ["creation"]


async def test_of_two_changes_to_one_revision_one_is_refused(ann: Any, make: Make, log: Log) -> None:
    event = await make()
    path = f"/events/{event['id']}"
    answers = await asyncio.gather(
        *(ann.patch(path, json={"title": f"Title {number}"}, **if_match('"1"')) for number in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert log.kinds(event["id"]) == ["creation", "update"]


async def test_cancelled_and_restored(ann: Any, make: Make, log: Log, connection: Connection) -> None:
    event = await make("bob@example.org")
    connection.execute(text("UPDATE events SET status = 'tentative'"))
    path = f"/events/{event['id']}"
    for _ in range(2):  # the second time it is so already
        cancelled = await ann.post(f"{path}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert cancelled.headers["ETag"] == '"2"'
    refused = await ann.patch(path, json={"title": "Review"}, **if_match('"2"'))
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/cancelled")
    stale = await ann.post(f"{path}/restore", **if_match('"1"'))
    assert stale.status_code == 412
    for _ in range(2):
        restored = await ann.post(f"{path}/restore")
        assert (restored.status_code, restored.json()["status"]) == (200, "tentative")
    assert log.told(event["id"], "bob@example.org")[1:] == [
        ("cancellation", {"bob@example.org"}),
        ("restoration", {"bob@example.org"}),
    ]
    assert [change.diff for change in log.of(event["id"])][1:] == [
        {"status": ["tentative", "cancelled"]},
        {"status": ["cancelled", "tentative"]},
    ]


async def test_what_is_to_come_is_cancelled_before_it_is_deleted(ann: Any, bob: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org")
    path = f"/events/{event['id']}"
    assert (await ann.delete(path, **if_match('"1"'))).status_code == 204
    assert [(change.kind, change.revision) for change in log.of(event["id"])] == [
        ("creation", 1),
        ("cancellation", 2),
        ("deletion", 3),
    ]
    assert log.told(event["id"], "bob@example.org")[1:] == [("cancellation", {"bob@example.org"}), ("deletion", set())]
    for person in (ann, bob):
        assert (await person.get(path)).status_code == 404
        assert (await person.get(f"{path}/history")).status_code == 404
        assert (await person.get("/events")).json()["items"] == []
    assert (await ann.delete(path, **if_match("*"))).status_code == 404


@pytest.mark.parametrize("past", [True, False])
async def test_what_nobody_waits_for_is_only_deleted(ann: Any, make: Make, log: Log, past: bool) -> None:
    fields = {"start": {"date": "2020-01-01"}, "end": {"date": "2020-01-02"}} if past else {}
    event = await make(**fields)
    if not past:
        await ann.post(f"/events/{event['id']}/cancel")
    await ann.delete(f"/events/{event['id']}", **if_match("*"))
    assert log.kinds(event["id"]) == ["creation", *([] if past else ["cancellation"]), "deletion"]
