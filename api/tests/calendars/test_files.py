"""One event as a file."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from icalendar import Calendar
from icalendar.cal.component import Component
from sqlalchemy import Connection, text

from api.tests.events.test_calendars import OUTLOOK, calendar, component
from api.tests.events.test_import import by_uid, take, taken

from .conftest import event_of
from .equivalence import said

GOLDEN = Path(__file__).parent / "golden"
NOON = {"date_time": "2031-03-28T12:00:00", "time_zone": "Europe/Berlin"}
PASSING = ("DTSTAMP", "LAST-MODIFIED", "CREATED")

FROM_A_FILE = calendar(
    "X-WR-TIMEZONE:America/New_York",
    *OUTLOOK.split("\n"),
    component(
        "DTEND;TZID=Eastern:20310328T100000",
        "SUMMARY;LANGUAGE=en:Standup",
        "RRULE:FREQ=DAILY;UNTIL=20310501T090000Z",
        "EXDATE;TZID=Eastern:20310330T090000",
        'ATTENDEE;CN="Berg, Bob";PARTSTAT=ACCEPTED;X-SEAT=4:mailto:bob@example.org',
        "ATTENDEE;CUTYPE=ROOM:urn:uuid:room-4",
        "ORGANIZER;CN=Boss:mailto:boss@example.org",
        "COMMENT:Bob is always late",
        "X-COLOR:red",
        "SEQUENCE:4",
        "BEGIN:VALARM",
        "ACTION:EMAIL",
        "ATTENDEE:mailto:secretary@example.org",
        "TRIGGER:-PT15M",
        "SUMMARY:Alarm",
        "DESCRIPTION:Alarm",
        "END:VALARM",
        uid="standup",
        start="DTSTART;TZID=Eastern:20310328T090000",
    ),
    component(
        "RECURRENCE-ID;TZID=Eastern:20310329T090000",
        "DTEND;TZID=Eastern:20310329T120000",
        "SUMMARY:Late standup",
        "COMMENT:Because of Bob",
        "URL:javascript:alert(1)",
        uid="standup",
        start="DTSTART;TZID=Eastern:20310329T110000",
    ),
)


async def file_of(person: Any, event: dict[str, Any]) -> httpx.Response:
    answer: httpx.Response = await person.get(f"/events/{event['id']}.ics")
    assert answer.status_code == 200, answer.text
    return answer


def events_in(answer: httpx.Response) -> list[Component]:
    return list(Calendar.from_ical(answer.content).walk("VEVENT"))


def as_golden(answer: httpx.Response, event: dict[str, Any]) -> str:
    """Without what is another each time."""
    lines = answer.text.replace(event["id"], "{id}").split("\r\n")
    assert all(len(line.encode()) <= 75 for line in lines)
    return "\n".join(line for line in lines if not line.startswith(PASSING))


async def test_an_event_as_a_file(ann: Any, bob: Any) -> None:
    fields = {"title": "Retro; and, more", "description": "One\nTwo \\ three " + "é" * 80, "location": "Room 4"}
    people = [{"email": "bob@example.org", "name": 'Bob "the ^" Berg', "role": "chair"}, {"email": "c%d@example.org"}]
    event = await event_of(ann, **fields, participants=people, url="https://example.org/a,b;c", reminders=[10, 1440])
    await bob.put(f"/events/{event['id']}/response", json={"response": "accepted", "comment": "Gladly"})
    answer = await file_of(ann, event)
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert as_golden(answer, event) == (GOLDEN / "event.ics").read_text()
    [read] = events_in(answer)
    assert read["SUMMARY"] == fields["title"]
    assert read["DESCRIPTION"] == fields["description"]
    assert read["DTSTART"].dt.isoformat() == "2031-03-28T09:00:00+01:00"
    assert read["ATTENDEE"][1] == "mailto:" + quote("c%d@example.org", safe="@")


async def test_days_cancellation_and_no_length(ann: Any, bob: Any) -> None:
    days = await event_of(
        ann, "bob@example.org", start={"date": "2031-03-28"}, end={"date": "2031-03-30"}, reminders=[5]
    )
    [read] = events_in(await file_of(bob, days))
    assert (str(read["DTSTART"].dt), str(read["DTEND"].dt)) == ("2031-03-28", "2031-03-30")
    assert (read["TRANSP"], len(read.walk("VALARM"))) == ("OPAQUE", 1)
    await bob.put(f"/events/{days['id']}/response", json={"response": "declined"})
    [read] = events_in(await file_of(bob, days))  # takes no time of who does not come, and does not ring
    assert (read["TRANSP"], read["STATUS"], len(read.walk("VALARM"))) == ("TRANSPARENT", "CONFIRMED", 0)
    assert read["SEQUENCE"] == 0  # an answer is nothing to look again for
    await ann.post(f"/events/{days['id']}/cancel")
    [read] = events_in(await file_of(ann, days))
    assert (read["STATUS"], read["TRANSP"], read["SEQUENCE"], len(read.walk("VALARM"))) == (
        "CANCELLED",
        "TRANSPARENT",
        1,
        0,
    )
    await taken(ann, calendar(component(uid="moment")))
    [read] = events_in(await file_of(ann, (await by_uid(ann))["moment"]))
    assert "DTEND" not in read


@pytest.mark.parametrize(
    ("fields", "sequence"),
    [({"reminders": [5]}, 0), ({"capacity": 7}, 0), ({"title": "Other"}, 1), ({"end": NOON, "capacity": 3}, 1)],
)
async def test_sequence_rises_with_what_matters(ann: Any, fields: dict[str, Any], sequence: int) -> None:
    event = await event_of(ann)
    changed = await ann.patch(f"/events/{event['id']}", json=fields, headers={"If-Match": "*"})
    assert changed.status_code == 200, changed.text
    [read] = events_in(await file_of(ann, event))
    assert read["SEQUENCE"] == sequence


async def test_what_was_imported_is_given_back_to_who_brought_it(ann: Any) -> None:
    await taken(ann, FROM_A_FILE)
    event = (await by_uid(ann))["standup"]
    answer = await file_of(ann, event)
    assert as_golden(answer, event) == (GOLDEN / "imported.ics").read_text()
    assert said(answer.content) == said(FROM_A_FILE)
    assert [read["SEQUENCE"] for read in events_in(answer)] == [4, 0]


async def test_others_get_what_the_api_shows_them(ann: Any, bob: Any) -> None:
    await taken(ann, FROM_A_FILE)
    event = (await by_uid(bob))["standup"]
    answer = await file_of(bob, event)
    assert as_golden(answer, event) == (GOLDEN / "imported_for_others.ics").read_text()
    for secret in ("secretary", "boss", "always late", "Because", "X-COLOR", "javascript", "room-4", "X-SEAT"):
        assert secret not in answer.text.replace("\r\n ", "")


async def test_what_was_changed_here_is_said_instead(ann: Any, bob: Any) -> None:
    await taken(ann, FROM_A_FILE)
    path = f"/events/{(await by_uid(ann))['standup']['id']}"
    await bob.put(f"{path}/response", json={"response": "declined", "comment": "ill"})
    times = {"start": NOON, "end": NOON | {"date_time": "2031-03-28T13:00:00"}}
    for changes in ({"title": "Sitdown"}, times, {"reminders": [3]}):
        assert (await ann.patch(path, json=changes, headers={"If-Match": "*"})).status_code == 200
    read, other = events_in(await ann.get(f"{path}.ics"))
    assert (read["SUMMARY"], read["DTSTART"].dt.isoformat()) == ("Sitdown", "2031-03-28T12:00:00+01:00")
    assert (read["X-COLOR"], read["RRULE"].to_ical()) == ("red", b"FREQ=DAILY;UNTIL=20310501T090000Z")
    assert [alarm["ACTION"] for alarm in read.walk("VALARM")] == ["DISPLAY"]
    assert [one.params.get("PARTSTAT") for one in read["ATTENDEE"]] == ["DECLINED", None]
    assert read["ATTENDEE"][0].params["X-SEAT"] == "4"
    assert (read["SEQUENCE"], other["SUMMARY"]) == (6, "Late standup")
    participants = (await ann.get(f"{path}/participants")).json()["items"]
    await ann.delete(f"{path}/participants/{participants[0]['id']}")
    assert "bob@example.org" not in (await ann.get(f"{path}.ics")).text.replace("\r\n ", "")
    await ann.post(f"{path}/cancel")
    assert [one["STATUS"] for one in events_in(await ann.get(f"{path}.ics"))] == ["CANCELLED", "CANCELLED"]
    assert await taken(ann, (await ann.get(f"{path}.ics")).content) == (0, 0, 1, 0)
    assert (await ann.get(path)).json()["title"] == "Sitdown"


async def test_a_newer_file_is_given_back_as_it_is(ann: Any) -> None:
    await taken(ann, FROM_A_FILE)
    path = f"/events/{(await by_uid(ann))['standup']['id']}"
    await ann.patch(path, json={"title": "Sitdown"}, headers={"If-Match": "*"})
    newer = FROM_A_FILE.replace(b"X-COLOR:red", b"X-COLOR:blue")
    assert await taken(ann, newer) == (0, 1, 0, 0)
    assert said((await ann.get(f"{path}.ics")).content) == said(newer)


async def test_times_mean_elsewhere_what_they_meant_here(join: Any) -> None:
    """Zones that only Windows, a vendor or nobody knows; times without one; rules that end by the wall clock."""
    ann = join("Ann", time_zone="Asia/Tokyo")
    lines = ["RRULE:FREQ=DAILY;UNTIL=20310501T090000;BYDAY=MO, TU", "EXDATE:20310330T090000,20310331T090000"]
    file = calendar(
        component(*lines, uid="floating", start="DTSTART:20310328T090000"),
        component(uid="windows", start="DTSTART;TZID=W. Europe Standard Time:20310328T090000"),
        component(uid="nobody", start="DTSTART;TZID=Atlantis:20310328T090000"),
        component("EXDATE:20310330", uid="day", start="DTSTART;TZID=Europe/Berlin:20310328"),
        component("RDATE;TZID=UTC:20310330T090000", uid="utc", start="DTSTART;TZID=UTC:20310328T090000"),
    )
    assert (await take(ann, file)).json()["created"] == 5
    texts = {uid: (await file_of(ann, event)).text for uid, event in (await by_uid(ann)).items()}
    assert "UNTIL=20310501T000000Z;BYDAY=MO,TU\r\n" in texts["floating"]
    assert "EXDATE;TZID=Asia/Tokyo:20310330T090000,20310331T090000\r\n" in texts["floating"]
    assert "DTSTART;TZID=Europe/Berlin:20310328T090000\r\n" in texts["windows"]
    assert "DTSTART;TZID=Asia/Tokyo:20310328T090000\r\n" in texts["nobody"]
    assert "DTSTART;VALUE=DATE:20310328\r\nEXDATE;VALUE=DATE:20310330\r\n" in texts["day"]
    assert "DTSTART:20310328T090000Z\r\nRDATE:20310330T090000Z\r\n" in texts["utc"]
    zones = {uid: text.count("BEGIN:VTIMEZONE") for uid, text in texts.items()}
    assert zones == {"floating": 1, "windows": 1, "nobody": 1, "day": 0, "utc": 0}


async def test_the_etag_is_another_when_anything_in_it_is(
    ann: Any, bob: Any, carl: Any, client: httpx.AsyncClient, connection: Connection
) -> None:
    event = await event_of(ann, "bob@example.org")
    path = f"/events/{event['id']}.ics"
    tags = [(await file_of(ann, event)).headers["etag"], (await file_of(bob, event)).headers["etag"]]
    for condition in (tags[-1], f"W/{tags[-1]}", f'"other", {tags[-1]}', "*"):
        answer = await bob.get(path, headers={"If-None-Match": condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tags[-1])
    assert (await bob.get(path, headers={"If-None-Match": tags[0]})).status_code == 200
    await bob.put(f"/events/{event['id']}/response", json={"response": "tentative"})
    tags.append((await file_of(bob, event)).headers["etag"])
    connection.execute(text("UPDATE accounts SET name = 'Anna' WHERE email = 'ann@example.org'"))
    tags.append((await file_of(bob, event)).headers["etag"])
    assert len(set(tags)) == 4
    head = await bob.request("HEAD", path)
    assert (head.status_code, head.headers["etag"]) == (200, tags[-1])
    foreign, absent = await carl.get(path), await carl.get("/events/01234567-89ab-7def-8123-456789abcdef.ics")
    assert foreign.status_code == absent.status_code == 404
    assert foreign.json()["detail"] == absent.json()["detail"]
    assert (await client.get(f"/api/v1{path}")).status_code == 401
    assert (await ann.get("/events/none.ics")).status_code == 422
    await ann.delete(f"/events/{event['id']}", headers={"If-Match": "*"})
    assert (await ann.get(path)).status_code == 404
