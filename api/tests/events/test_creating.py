"""Events made: what is answered, what is written, what is refused."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from asyncpg.exceptions import ForeignKeyViolationError
from fastapi import FastAPI
from planner_api.events.recording import Author
from planner_api.events.state import State
from planner_api.events.writing import NewEvent
from planner_common.moments import Moment
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from .conftest import EVENT, Log, Make

FULL = EVENT | {
    "title": " Retrospective ",
    "description": "What went well?\nWhat did not?",
    "location": "Room 4",
    "url": "https://meet.example.org/4",
    "reminders": [60, 10, 60],
    "capacity": 12,
}


async def test_an_event_is_made_and_read(ann: Any, bob: Any) -> None:
    people = [{"email": "BOB@example.org", "name": "Bob"}, {"email": "dora@example.org", "role": "chair"}]
    made = await ann.post("/events", json={**FULL, "participants": people})
    assert made.status_code == 201, made.text
    event = made.json()
    assert made.headers["Location"] == f"/api/v1/events/{event['id']}"
    assert made.headers["ETag"] == '"1"'
    assert event == event | FULL | {
        "title": "Retrospective",
        "reminders": [60, 10],
        "uid": event["id"],
        "status": "confirmed",
        "organizer": {"id": str(ann.account_id), "name": "Ann", "email": "ann@example.org"},
        "starts_at": "2031-03-28T08:00:00Z",
        "ends_at": "2031-03-28T09:00:00Z",
        "all_day": False,
        "revision": 1,
        "my_response": None,
        "counts": {"needs_action": 2, "accepted": 0, "declined": 0, "tentative": 0, "waiting": 0},
    }
    read = await bob.get(f"/events/{event['id']}")
    assert read.headers["ETag"] == '"1"'
    assert read.json() == {**event, "my_response": "needs_action"}


async def test_the_change_is_written_with_it(ann: Any, log: Log, connection: Connection) -> None:
    people = [{"email": email} for email in ("bob@example.org", "Bob@Example.org", "ann@example.org")]
    headers = {"X-Request-ID": "from-a-test"}
    event = (await ann.post("/events", json={**EVENT, "participants": people}, headers=headers)).json()
    assert event["my_response"] == "needs_action"  # an organizer may take part
    assert event["counts"]["needs_action"] == 2  # two spellings of one address are one person
    (change,) = log.of(event["id"])
    assert (change.kind, change.revision, change.actor) == ("creation", 1, ann.person_id)
    assert (change.request_id, change.notify, change.fanned_out_at) == ("from-a-test", True, None)
    assert change.audience_size == 2
    since = connection.execute(text("SELECT since_change, until_change FROM participants")).all()
    assert since == [(change.id, None)] * 2
    assert log.told(event["id"], "bob@example.org") == [("creation", {"bob@example.org"})]


async def test_nobody_is_told_unless_wanted(ann: Any, log: Log) -> None:
    body = EVENT | {"participants": [{"email": "bob@example.org"}]}
    event = (await ann.post("/events?notify=none", json=body)).json()
    (change,) = log.of(event["id"])
    assert change.notify is False
    assert change.fanned_out_at is not None  # nothing to do, so the dispatcher never sees it
    assert log.told(event["id"]) == [("creation", set())]


async def test_a_thousand_participants_and_no_more(make: Make, ann: Any) -> None:
    emails = [f"person{number}@example.org" for number in range(1_001)]
    event = await make(*emails[:1_000])
    assert event["counts"]["needs_action"] == 1_000
    refused = await ann.post("/events", json={**EVENT, "participants": [{"email": email} for email in emails]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/participants"


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "/title"),
    ({"title": "  "}, "/title"),
    ({"title": "x" * 201}, "/title"),
    ({"title": "one\ntwo"}, "/title"),
    ({"title": "NUL \0"}, "/title"),
    ({"title": None}, "/title"),
    ({"description": "x" * 20_001}, "/description"),
    ({"description": "NUL \0"}, "/description"),
    ({"location": "x" * 1_001}, "/location"),
    ({"url": "javascript:alert(1)"}, "/url"),
    ({"url": "https://"}, "/url"),
    ({"url": "https://[x"}, "/url"),
    ({"url": "https://example.org/ x"}, "/url"),
    ({"reminders": [1, 2, 3, 4, 5, 6]}, "/reminders"),
    ({"reminders": [-1]}, "/reminders/0"),
    ({"reminders": ["10"]}, "/reminders/0"),
    ({"reminders": None}, "/reminders"),
    ({"capacity": 0}, "/capacity"),
    ({"capacity": True}, "/capacity"),
    ({"capacity": 10**30}, "/capacity"),
    ({"status": "cancelled"}, "/status"),
    ({"participants": [{"email": "bob@example.org"}, {"email": "nobody"}]}, "/participants/1/email"),
    ({"participants": [{"email": "bob@example.org", "name": "\x1b[2J"}]}, "/participants/0/name"),
    ({"participants": [{"email": "bob@example.org", "role": "king"}]}, "/participants/0/role"),
    ({"participants": [{"email": "bob@example.org", "response": "accepted"}]}, "/participants/0/response"),
]


async def test_what_makes_no_sense_is_refused(ann: Any, log: Log, subtests: pytest.Subtests) -> None:
    for fields, pointer in NONSENSE:
        with subtests.test(fields=str(fields)[:80]):
            answer = await ann.post("/events", json=EVENT | fields)
            assert answer.status_code == 422, answer.text
            assert answer.json()["errors"][0]["pointer"] == pointer
    assert log.count() == 0


async def test_lone_surrogates_are_no_text(ann: Any, log: Log) -> None:
    body = b'{"title": "\\ud800", "start": {"date": "2031-03-28"}, "end": {"date": "2031-03-29"}}'
    answer = await ann.post("/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert log.count() == 0


async def test_a_commit_that_fails_is_no_success(ann: Any, make: Make, log: Log, connection: Connection) -> None:
    """I1: the answer leaves after the commit, and without the commit there is nothing."""
    event = await make()
    connection.execute(
        text("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
            CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON changes DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION refuse();
        """)
    )
    try:
        with capture_logs():  # a traceback is printed at length by a structlog that nobody configured
            made = await ann.post("/events", json=EVENT)
            path = f"/events/{event['id']}"
            changed = await ann.patch(path, json={"title": "Review"}, headers={"If-Match": '"1"'})
        assert (made.status_code, changed.status_code) == (500, 500)
    finally:
        connection.execute(text("DROP FUNCTION refuse CASCADE"))
    assert log.count() == 1
    assert (await ann.get("/events")).json()["items"] == [event]


async def test_one_that_cannot_be_written_leaves_the_others(app: FastAPI, ann: Any, connection: Connection) -> None:
    """Those that come at the same time are written by one statement; its failure is not everyone's."""
    account = connection.execute(text("SELECT id FROM accounts")).scalar_one()
    start, end = (Moment.at(datetime(2031, 5, 1, hour, tzinfo=UTC), "UTC") for hour in (18, 20))
    state = State(title="Dinner", start=start, end=end)
    good, nobodys = (Author(one, ann.person_id, True, None) for one in (account, uuid4()))
    create = app.state.together.create
    asked = [create((NewEvent(state), author)) for author in (good, nobodys, good)]
    first, second, third = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(second, ForeignKeyViolationError)
    written = connection.execute(text("SELECT id FROM events ORDER BY id")).scalars().all()
    assert written == sorted([first["id"], third["id"]])
    assert first["change_id"] != third["change_id"]
