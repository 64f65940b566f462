"""Events that repeat: what is taken, kept and shown of it, and when they take place."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from .conftest import Log, Make
from .test_calendars import calendar, component

BERLIN = "Europe/Berlin"
SPRING = "?from=2031-03-20T00:00:00Z&to=2031-05-01T00:00:00Z"


async def occurrences(person: Any, event: dict[str, Any], query: str = SPRING) -> Any:
    answer = await person.get(f"/events/{event['id']}/occurrences{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def starts(person: Any, event: dict[str, Any]) -> list[str]:
    return [one["starts_at"] for one in (await occurrences(person, event))["items"]]


async def change(ann: Any, event: dict[str, Any], **fields: Any) -> Any:
    return await ann.patch(f"/events/{event['id']}", json=fields, headers={"If-Match": "*"})


async def test_an_event_repeats_at_the_same_wall_time(ann: Any, make: Make) -> None:
    lines = ["rrule:byday=fr;freq=weekly", "EXDATE:20310411T090000"]
    event = await make(recurrence=lines)
    kept = ["RRULE:FREQ=WEEKLY;BYDAY=FR", "EXDATE;TZID=Europe/Berlin:20310411T090000"]
    assert event["recurrence"] == kept
    assert (await ann.get(f"/events/{event['id']}")).json()["recurrence"] == kept
    assert (await ann.get("/events")).json()["items"][0]["recurrence"] == kept
    shown = (await occurrences(ann, event))["items"]
    assert shown[0] == {
        "recurrence_id": "20310328T090000",
        "original_start": event["start"],
        "start": event["start"],
        "end": event["end"],
        "starts_at": "2031-03-28T08:00:00Z",
        "ends_at": "2031-03-28T09:00:00Z",
    }
    # The clocks change on March 30.
    assert [one["starts_at"] for one in shown[1:]] == [f"2031-04-{day}T07:00:00Z" for day in ("04", "18", "25")]


async def test_what_does_not_repeat_takes_place_once(ann: Any, make: Make) -> None:
    event = await make()
    assert event["recurrence"] == []
    assert await starts(ann, event) == [event["starts_at"]]


async def test_whole_days(ann: Any, make: Make) -> None:
    days = {"start": {"date": "2031-03-28"}, "end": {"date": "2031-03-30"}}
    event = await make(**days, recurrence=["RRULE:FREQ=MONTHLY;COUNT=2"])
    shown = (await occurrences(ann, event))["items"]
    assert [(one["recurrence_id"], one["start"], one["end"]) for one in shown] == [
        ("20310328", {"date": "2031-03-28"}, {"date": "2031-03-30"}),
        ("20310428", {"date": "2031-04-28"}, {"date": "2031-04-30"}),
    ]


@pytest.mark.parametrize("limit", [1, 7])
async def test_pages_have_each_occurrence_once(ann: Any, make: Make, limit: int) -> None:
    """Also two that start at one instant: on the night in which 2:00 is 3:00."""
    event = await make(recurrence=["RRULE:FREQ=DAILY;BYHOUR=2,3,9;BYMINUTE=0,30;COUNT=40"])
    whole = (await occurrences(ann, event, f"{SPRING}&limit=200"))["items"]
    assert len(whole) == 40
    found: list[Any] = []
    cursor = ""
    while True:
        page = await occurrences(ann, event, f"{SPRING}&limit={limit}{cursor}")
        found += page["items"]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == limit
        cursor = f"&cursor={page['next_cursor']}"
    assert found == whole


async def test_ranges_are_limited(ann: Any, make: Make) -> None:
    event = await make(recurrence=["RRULE:FREQ=DAILY"])
    for query, pointer in (
        ("?from=2031-01-01T00:00:00Z&to=2037-01-01T00:00:00Z", "/query/to"),
        ("?from=2031-01-01T00:00:00Z", "/query/to"),
        ("?to=2031-01-01T00:00:00Z", "/query/from"),
        (f"{SPRING}&cursor=WzFd", "/cursor"),
    ):
        answer = await ann.get(f"/events/{event['id']}/occurrences{query}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    far = await occurrences(ann, event, "?from=9990-01-01T00:00:00Z&to=9990-01-03T00:00:00Z")
    assert [one["recurrence_id"] for one in far["items"]] == ["99900101T090000", "99900102T090000"]
    assert (await occurrences(ann, event, "?from=2031-04-02T00:00:00Z&to=2031-04-01T00:00:00Z"))["items"] == []


@pytest.mark.parametrize(
    ("lines", "pointer", "said"),
    [
        (["RRULE:FREQ=SECONDLY"], "/recurrence/0", "use FREQ=DAILY"),
        (["RRULE:FREQ=DAILY;COUNT=1000000000"], "/recurrence/0", "COUNT"),
        (["RRULE:FREQ=DAILY", "RDATE;VALUE=PERIOD:20310401T090000/PT1H"], "/recurrence/1", "periods"),
        (["RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"], "/recurrence/0", "no month of BYMONTH has"),
        (101 * ["RRULE:FREQ=DAILY"], "/recurrence", "100"),
        ("RRULE:FREQ=DAILY", "/recurrence", "list"),
    ],
)
async def test_what_is_refused_is_pointed_at(ann: Any, make: Make, lines: Any, pointer: str, said: str) -> None:
    event = await make(recurrence=["RRULE:FREQ=DAILY"])
    body = {"title": "Standup", "start": event["start"], "end": event["end"], "recurrence": lines}
    for answer in (await ann.post("/events", json=body), await change(ann, event, recurrence=lines)):
        assert answer.status_code == 422, answer.text
        [error] = answer.json()["errors"]
        assert (error["pointer"], said in error["detail"]) == (pointer, True)


async def test_a_recurrence_is_changed_as_any_field(ann: Any, make: Make, log: Log) -> None:
    event = await make("bob@example.org", recurrence=["RRULE:FREQ=WEEKLY"])
    same = await change(ann, event, recurrence=["RRULE:INTERVAL=1;FREQ=WEEKLY"])
    assert same.json()["revision"] == 1  # it says the same
    changed = await change(ann, event, recurrence=["RRULE:FREQ=DAILY;COUNT=2"])
    assert changed.json()["recurrence"] == ["RRULE:FREQ=DAILY;COUNT=2"]
    last = log.of(event["id"])[-1]
    assert (last.kind, last.diff) == ("update", {"recurrence": [["RRULE:FREQ=WEEKLY"], ["RRULE:FREQ=DAILY;COUNT=2"]]})
    assert len(await starts(ann, event)) == 2
    assert (await change(ann, event, recurrence=[])).json()["recurrence"] == []
    assert len(await starts(ann, event)) == 1


async def test_when_the_start_moves_what_was_left_out_stays_left_out(ann: Any, make: Make) -> None:
    event = await make(recurrence=["RRULE:FREQ=DAILY;UNTIL=20310331T070000Z", "EXDATE:20310329T090000"])
    start = {"date_time": "2031-03-28T11:00:00", "time_zone": BERLIN}
    end = {"date_time": "2031-03-28T12:00:00", "time_zone": BERLIN}
    moved = await change(ann, event, start=start, end=end)
    assert moved.json()["recurrence"] == [
        "RRULE:FREQ=DAILY;UNTIL=20310331T090000Z",
        "EXDATE;TZID=Europe/Berlin:20310329T110000",
    ]
    assert await starts(ann, event) == ["2031-03-28T10:00:00Z", "2031-03-30T09:00:00Z", "2031-03-31T09:00:00Z"]


async def test_the_ends_of_time_do_no_harm(ann: Any, make: Make) -> None:
    def at(wall: str, zone: str) -> dict[str, str]:
        return {"date_time": wall, "time_zone": zone}

    eternal = await make(start=at("0002-01-01T00:00:00", "Asia/Tokyo"), end=at("9998-12-31T00:00:00", "Pacific/Midway"))
    assert await starts(ann, eternal) == [eternal["starts_at"]]
    far = await make(recurrence=["RRULE:FREQ=YEARLY;UNTIL=99970101", "RDATE:99900101T090000"])
    late = {"start": at("9000-01-01T09:00:00", BERLIN), "end": at("9000-01-01T10:00:00", BERLIN)}
    answer = await change(ann, far, **late)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/recurrence")
    edge = "?from=9998-12-30T00:00:00-12:00&to=9998-12-31T23:59:59-12:00"
    assert len((await occurrences(ann, eternal, edge))["items"]) == 1
    assert (await occurrences(ann, eternal, "?from=0002-01-01T00:00:00%2B12:00&to=0002-01-01T00:00:00Z"))["items"]


async def test_an_event_is_over_with_its_last_occurrence(ann: Any, make: Make, connection: Connection) -> None:
    """Its own end says when the first is. Pruning, deliveries and free/busy go by the last."""

    def over() -> tuple[Any, Any]:
        found = connection.execute(
            text("SELECT e.over_at, p.ends_at FROM events e JOIN participants p ON p.event_id = e.id WHERE e.id = :id"),
            {"id": event["id"]},
        )
        return tuple(found.one())

    event = await make("bob@example.org", recurrence=["RRULE:FREQ=DAILY;COUNT=3"])
    assert over() == 2 * (datetime(2031, 3, 30, 8, tzinfo=UTC),)
    await change(ann, event, recurrence=["RRULE:FREQ=DAILY"])
    assert over()[0] == over()[1] > datetime(9000, 1, 1, tzinfo=UTC)
    await ann.post(f"/events/{event['id']}/participants", json={"participants": [{"email": "carl@example.org"}]})
    ends = text("SELECT DISTINCT p.ends_at = e.over_at FROM events e JOIN participants p ON p.event_id = e.id")
    assert connection.execute(ends).scalars().all() == [True]
    connection.execute(text("DELETE FROM participants WHERE email = 'carl@example.org'"))
    await change(ann, event, recurrence=[])
    assert over()[0] is None


async def test_deleting_a_series_that_goes_on_cancels_it_first(ann: Any, make: Make, log: Log) -> None:
    began = datetime.now(UTC) - timedelta(days=9)
    times = {
        side: {"date_time": f"{began + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}", "time_zone": "UTC"}
        for side, hours in (("start", 0), ("end", 1))
    }
    event = await make("bob@example.org", **times, recurrence=["RRULE:FREQ=DAILY"])
    await ann.delete(f"/events/{event['id']}", headers={"If-Match": "*"})
    assert log.kinds(event["id"]) == ["creation", "cancellation", "deletion"]


async def test_a_file_says_how_an_event_repeats(ann: Any, make: Make) -> None:
    lines = ["RRULE:FREQ=WEEKLY;BYDAY=FR", "EXDATE;TZID=Europe/Berlin:20310411T090000"]
    event = await make(recurrence=lines)
    file = (await ann.get(f"/events/{event['id']}.ics")).text
    assert [line for line in file.split("\r\n") if line in lines] == lines


async def test_a_file_that_was_imported_is_given_back_with_the_rule_it_was_given_here(ann: Any) -> None:
    repeating = component("RRULE:FREQ=DAILY", "EXDATE:20310329T090000Z", uid="1")
    headers = {"Content-Type": "text/calendar"}
    assert (await ann.post("/events/import", content=calendar(repeating), headers=headers)).status_code == 200
    [event] = (await ann.get("/events")).json()["items"]
    assert "RRULE:FREQ=DAILY" in (await ann.get(f"/events/{event['id']}.ics")).text
    await change(ann, event, recurrence=["RRULE:FREQ=WEEKLY"])
    file = (await ann.get(f"/events/{event['id']}.ics")).text.split("\r\n")
    assert [line for line in file if line.startswith(("RRULE", "EXDATE"))] == ["RRULE:FREQ=WEEKLY"]
