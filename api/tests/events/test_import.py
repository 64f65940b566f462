"""Calendar files taken in through the API."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from planner_api.routes import imports
from sqlalchemy import Connection, text

from .conftest import Log
from .test_calendars import calendar, component

REAL = Path(__file__).parents[4] / "shared" / "data" / "calendars"
"""A collection of calendars that programs and people wrote; tests walk it where it lies beside the checkout."""

TEAM = calendar(
    component(
        "SUMMARY:Standup",
        "DTEND:20310328T091500Z",
        "RRULE:FREQ=DAILY",
        "ATTENDEE;CN=Bob:mailto:bob@example.org",
        "DTSTAMP:20300101T000000Z",
        uid="standup",
    ),
    component("SUMMARY:Offsite", uid="offsite", start="DTSTART;VALUE=DATE:20310401"),
)


async def take(person: Any, content: bytes, query: str = "", **headers: str) -> Any:
    headers = {"Content-Type": "text/calendar"} | headers
    return await person.post(f"/events/import{query}", content=content, headers=headers)


async def taken(person: Any, content: bytes, query: str = "") -> tuple[int, int, int, int]:
    """How many events were created, updated, unchanged, failed."""
    answer = await take(person, content, query)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    return result["created"], result["updated"], result["unchanged"], len(result["failed"])


async def by_uid(person: Any) -> dict[str, Any]:
    return {event["uid"]: event for event in (await person.get("/events?limit=200")).json()["items"]}


async def test_a_file_is_taken_in_and_again_changes_nothing(
    ann: Any, bob: Any, log: Log, connection: Connection
) -> None:
    headers = {"X-Request-ID": "from-a-file"}
    answer = await take(ann, TEAM, "?invite=Carl@example.org&invite=bob@example.org&invite=carl@example.org", **headers)
    assert (answer.status_code, answer.json()) == (200, {"created": 2, "updated": 0, "unchanged": 0, "failed": []})
    standup = (await by_uid(ann))["standup"]
    assert standup == standup | {
        "title": "Standup",
        "start": {"date_time": "2031-03-28T09:00:00", "time_zone": "UTC"},
        "ends_at": "2031-03-28T09:15:00Z",
        "organizer": {"id": str(ann.account_id), "name": "Ann", "email": "ann@example.org"},
    }
    people = (await ann.get(f"/events/{standup['id']}/participants")).json()["items"]
    assert [(person["email"], person["name"]) for person in people] == [
        ("bob@example.org", "Bob"),
        ("carl@example.org", None),
    ]
    assert (await by_uid(bob)).keys() == {"standup", "offsite"}
    (change,) = log.of(standup["id"])
    assert (change.kind, change.actor, change.request_id) == ("creation", ann.person_id, "from-a-file")
    assert (change.notify, change.fanned_out_at is not None) == (False, True)  # a file mails nobody by accident
    source = connection.execute(text("SELECT source FROM events WHERE uid = 'standup'")).scalar_one()
    assert "RRULE:FREQ=DAILY" in source

    assert await taken(ann, TEAM, "?invite=carl@example.org&invite=bob@example.org") == (0, 0, 2, 0)
    assert await taken(ann, TEAM.replace(b"20300101", b"20300202")) == (0, 0, 2, 0)  # exported anew
    assert log.count() == 2


async def test_people_are_told_when_that_is_asked_for(ann: Any, log: Log) -> None:
    off = component("STATUS:CANCELLED", "ATTENDEE:mailto:bob@example.org", uid="off")
    await taken(ann, calendar(off) + TEAM, "?notify=all")
    events = await by_uid(ann)
    assert log.told(events["standup"]["id"], "bob@example.org") == [("creation", {"bob@example.org"})]
    assert log.told(events["off"]["id"]) == [("creation", set())]  # nobody is invited to what does not take place


@pytest.mark.parametrize(
    ("change", "kind", "fields"),
    [
        ((b"SUMMARY:Standup", b"SUMMARY:Sitdown"), "update", {"title": ["Standup", "Sitdown"]}),
        ((b"SUMMARY:Standup", b"SUMMARY:Standup\r\nX-COLOR:red"), "update", {}),
        (
            (b"FREQ=DAILY", b"FREQ=WEEKLY"),
            "update",
            {"recurrence": [["RRULE:FREQ=DAILY"], ["RRULE:FREQ=WEEKLY"]]},
        ),
        (
            (b"SUMMARY:Standup", b"STATUS:CANCELLED\r\nSUMMARY:Standup"),
            "cancellation",
            {"status": ["confirmed", "cancelled"]},
        ),
        (
            (b"DTSTART:20310328T09", b"DTSTART:20310328T08"),
            "reschedule",
            {
                "start": [
                    {"date_time": "2031-03-28T09:00:00", "time_zone": "UTC"},
                    {"date_time": "2031-03-28T08:00:00", "time_zone": "UTC"},
                ]
            },
        ),
    ],
    ids=["title", "nothing shown", "rule", "status", "time"],
)
async def test_a_changed_event_is_one_change(
    ann: Any, log: Log, change: tuple[bytes, bytes], kind: str, fields: dict[str, Any]
) -> None:
    await taken(ann, TEAM)
    changed = TEAM.replace(*change)
    assert await taken(ann, changed, "?notify=all") == (0, 1, 1, 0)
    assert await taken(ann, changed) == (0, 0, 2, 0)
    events = await by_uid(ann)
    last = log.of(events["standup"]["id"])[-1]
    assert (last.kind, last.diff, last.revision) == (kind, fields, 2)
    assert log.told(events["standup"]["id"], "bob@example.org")[-1] == (kind, {"bob@example.org"})
    assert log.kinds(events["offsite"]["id"]) == ["creation"]


async def test_what_was_changed_here_stays_until_the_file_changes(ann: Any) -> None:
    await taken(ann, TEAM)
    event = (await by_uid(ann))["standup"]
    local = {"title": "Our standup", "reminders": [10], "capacity": 5}
    await ann.patch(f"/events/{event['id']}", json=local, headers={"If-Match": "*"})
    assert await taken(ann, TEAM) == (0, 0, 2, 0)
    assert await taken(ann, TEAM.replace(b"SUMMARY:Standup", b"SUMMARY:Daily")) == (0, 1, 1, 0)
    now = (await by_uid(ann))["standup"]
    assert (now["title"], now["reminders"], now["capacity"]) == ("Daily", [10], 5)


async def test_new_people_are_added_and_nobody_taken_out(ann: Any, log: Log) -> None:
    await taken(ann, TEAM)
    more = TEAM.replace(b"ATTENDEE;CN=Bob:mailto:bob@example.org", b"ATTENDEE:mailto:carl@example.org")
    more = more.replace(b"SUMMARY:Standup", b"SUMMARY:Sitdown")
    assert await taken(ann, more, "?notify=all&invite=dora@example.org") == (0, 2, 0, 0)
    events = await by_uid(ann)
    assert log.told(events["standup"]["id"], *(f"{name}@example.org" for name in ("bob", "carl", "dora"))) == [
        ("creation", set()),
        ("update", {"bob@example.org"}),
        ("invitation", {"carl@example.org", "dora@example.org"}),
    ]
    assert log.told(events["offsite"]["id"], "dora@example.org")[1:] == [("invitation", {"dora@example.org"})]


async def test_what_was_deleted_comes_back_as_new(ann: Any) -> None:
    await taken(ann, TEAM)
    event = (await by_uid(ann))["standup"]
    await ann.delete(f"/events/{event['id']}", headers={"If-Match": "*"})
    assert await taken(ann, TEAM) == (1, 0, 1, 0)
    assert (await by_uid(ann))["standup"]["id"] != event["id"]


async def test_a_uid_is_one_account_s(ann: Any, bob: Any) -> None:
    assert await taken(ann, TEAM) == await taken(bob, TEAM) == (2, 0, 0, 0)
    assert len((await bob.get("/events?role=organizer")).json()["items"]) == 2


async def test_floating_times_are_where_the_account_is(ann: Any) -> None:
    await ann.patch("/me", json={"time_zone": "Europe/Berlin"})
    await taken(ann, calendar(component(start="DTSTART:20310328T090000")))
    event = (await by_uid(ann))["1"]
    assert event["start"] == {"date_time": "2031-03-28T09:00:00", "time_zone": "Europe/Berlin"}
    # It ends when it begins; its title can be changed all the same.
    changed = await ann.patch(f"/events/{event['id']}", json={"title": "Moment"}, headers={"If-Match": "*"})
    assert changed.status_code == 200, changed.text


async def test_what_is_wrong_is_listed_and_the_rest_taken(ann: Any, log: Log) -> None:
    answer = await take(ann, calendar(component(uid="bad", start="DTSTART:soon"), component(uid="good")))
    assert answer.json() == {
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "failed": [{"uid": "bad", "detail": "DTSTART: Expected datetime, date, or time. Got: 'soon'"}],
    }
    assert log.count() == 1


async def test_what_is_no_calendar_is_refused(ann: Any, log: Log, subtests: pytest.Subtests) -> None:
    everyone = "&".join(f"invite=person{number}@example.org" for number in range(101))
    for content, query, headers, status in [
        (b"<html></html>", "", {}, 422),
        (b"", "", {}, 422),
        (calendar(), "", {}, 422),
        (TEAM, "", {"Content-Type": "application/json"}, 415),
        (TEAM, "", {"Content-Type": "text/html"}, 415),
        (b"x" * (5 * 1024 * 1024 + 1), "", {}, 413),
        (TEAM, "?invite=nobody", {}, 422),
        (TEAM, "?invite=%00", {}, 422),
        (TEAM, f"?{everyone}", {}, 422),
        (TEAM, "?notify=some", {}, 422),
    ]:
        with subtests.test(content=content[:20], query=query[:20], headers=headers):
            answer = await take(ann, content, query, **headers)
            assert answer.status_code == status, answer.text
            assert answer.headers["Content-Type"] == "application/problem+json"
    assert log.count() == 0


async def test_a_crowd_is_too_much(ann: Any, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_PARTICIPANTS", 2)
    refused = await take(ann, TEAM, "?invite=carl@example.org")  # two in one event, one in the other
    assert refused.status_code == 422
    assert log.count() == 0
    assert await taken(ann, TEAM) == (2, 0, 0, 0)


async def test_of_two_imports_at_once_one_waits_for_its_turn(ann: Any, log: Log) -> None:
    """Whichever way they meet, every event is there once."""
    answers = await asyncio.gather(*(take(ann, TEAM) for _ in range(6)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    done = [answer.json() for answer in answers if answer.status_code == 200]
    assert sum(result["created"] for result in done) == 2
    assert {answer.json()["type"] for answer in answers if answer.status_code == 409} <= {"/problems/in-progress"}
    assert log.count() == 2


async def test_while_an_import_is_under_way_another_is_refused(ann: Any, connection: Connection) -> None:
    lock = text("SELECT pg_advisory_lock(hashtextextended(:key, 0))")
    connection.execute(lock, {"key": f"import {ann.account_id}"})
    try:
        answer = await take(ann, TEAM)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/in-progress")
    finally:
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
    assert await taken(ann, TEAM) == (2, 0, 0, 0)


async def test_real_calendars(ann: Any, subtests: pytest.Subtests) -> None:
    """Each is taken in, with somebody invited, and taken in again; what is malformed is refused or listed."""
    files = {path: path.read_bytes() for path in sorted(REAL.rglob("*.ics"))}
    for path, content in files.items():
        with subtests.test(file=path.name):
            answer = await take(ann, content, "?invite=bob@example.org")
            if path.parent.name == "broken":
                assert answer.status_code in {200, 422}, answer.text
            else:
                assert answer.status_code == 200, answer.text
                # The only ones that can't be understood: without DTSTART, an event has no time.
                assert all(failed["detail"] == "it has no DTSTART" for failed in answer.json()["failed"])
            if answer.status_code == 200:
                result = answer.json()
                number = result["created"] + result["updated"] + result["unchanged"]
                assert await taken(ann, content, "?invite=bob@example.org") == (0, 0, number, len(result["failed"]))
