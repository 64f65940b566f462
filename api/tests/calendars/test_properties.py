"""What is written can be read, by others and by ourselves, whatever people write into their events."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st
from planner_api.calendars import writing
from planner_api.calendars.components import significant, without_people
from planner_api.calendars.exporting import Exported, Zones
from planner_api.calendars.reading import read
from planner_api.schemas.common import zone_names

from api.tests.events.test_calendars import OUTLOOK

from .equivalence import calendars

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=120)
lines = words.map(lambda text: " ".join("".join(c for c in text if c.isprintable()).split())).filter(bool)
walls = st.datetimes(datetime(1972, 1, 1), datetime(2040, 1, 1)).map(lambda wall: wall.replace(microsecond=0))  # noqa: DTZ001
zones = st.sampled_from([None, "UTC", *sorted(zone_names())])
people = st.lists(
    st.tuples(
        st.sampled_from(["ann@example.org", "b%c@example.org", "d+e@example.org", "jörg@example.org"]),
        st.none() | lines,
        st.sampled_from(["chair", "required", "optional"]),
        st.sampled_from(["needs_action", "accepted", "declined", "tentative"]),
    ),
    max_size=3,
    unique_by=lambda person: person[0],
)


@st.composite
def events(draw: st.DrawFn) -> Exported:
    zone, start = draw(zones), draw(walls)
    end = start + timedelta(hours=draw(st.integers(24 if zone is None else 0, 100)))
    if zone is None:
        start, end = (wall.replace(hour=0, minute=0, second=0) for wall in (start, end))
    return Exported(
        id=UUID(int=1),
        uid=draw(lines),
        title=draw(lines),
        description=draw(st.none() | words),
        location=draw(st.none() | words),
        url=draw(st.sampled_from([None, "https://example.org/a;b,c?d=\\"])),
        status=draw(st.sampled_from(["confirmed", "tentative", "cancelled"])),
        start=f"{start:%Y%m%dT%H%M%S}",
        start_zone=zone,
        end=f"{end:%Y%m%dT%H%M%S}",
        end_zone=zone,
        reminders=draw(st.lists(st.integers(0, 40_320), max_size=2)),
        recurrence=[],
        sequence=draw(st.integers(0, 9)),
        source=None,
        edited=[],
        created="20260101T000000Z",
        updated="20260101T000000Z",
        organizer_name=draw(lines),
        organizer_email="boss@example.org",
        organizes=True,
        response=draw(st.sampled_from([None, "accepted", "declined"])),
        people=draw(people),
    )


def read_as(text: str) -> str:
    """What programs make of a text: its breaks are line feeds, and it has no control characters."""
    for line_break in ("\r\n", "\r", "\x85", "\u2028", "\u2029"):
        text = text.replace(line_break, "\n")
    return "".join(c for c in text if c in "\t\n" or not ("\0" <= c < " " or c == "\x7f"))


@settings(deadline=None)
@given(events())
async def test_what_is_written_is_read_by_others(event: Exported) -> None:
    content = await writing.file([event], "A name")
    assert all(len(line) <= 75 for line in content.split(b"\r\n"))
    [calendar] = calendars(content)
    [component] = calendar.walk("VEVENT")
    assert not component.errors
    assert (component["UID"], component["SUMMARY"]) == (event.uid, event.title)
    for name, value in (("DESCRIPTION", event.description), ("LOCATION", event.location), ("URL", event.url)):
        assert component.get(name) == (None if value is None else read_as(value) if name != "URL" else value)
    start = component["DTSTART"].dt
    if event.start_zone is None:
        assert f"{start:%Y%m%dT000000}" == event.start
    else:
        wall = datetime.strptime(event.start, "%Y%m%dT%H%M%S").replace(tzinfo=ZoneInfo(event.start_zone))
        assert start.astimezone(UTC) == wall.astimezone(UTC)
    attendees = component.get("ATTENDEE", [])
    attendees = attendees if isinstance(attendees, list) else [attendees]
    names = [name and name.replace('"', "'") for _, name, _, _ in event.people]
    assert [attendee.params.get("CN") for attendee in attendees] == names
    partstats = [response.upper().replace("_", "-") for _, _, _, response in event.people]
    assert [attendee.params["PARTSTAT"] for attendee in attendees] == partstats


@settings(deadline=None)
@given(events())
async def test_what_is_written_is_read_by_ourselves(event: Exported) -> None:
    [entry], failures = read(await writing.file([event]), None, "Asia/Tokyo")
    assert not failures
    assert (entry.uid, entry.state.title, entry.state.status) == (event.uid, event.title, event.status)
    assert entry.state.start.zone == event.start_zone
    assert [(person.email, person.role) for person in entry.people] == [
        (email, role) for email, _, role, _ in event.people
    ]


@settings(deadline=None)
@given(events())
async def test_what_is_given_back_is_given_back_again(event: Exported) -> None:
    """An import of an export is the same source, and an export of that the same file: for ever."""
    [first], _ = read(await writing.file([event]), None, "Asia/Tokyo")
    imported = event._replace(source=first.source)
    content = await writing.file([imported])
    [second], _ = read(content, None, "Asia/Tokyo")
    assert without_people(significant(second.source)) == without_people(significant(first.source))
    assert without_people(significant("\r\n".join(writing.components(imported, Zones())))) == without_people(
        significant(second.source)
    )


BARE = Exported(
    id=UUID(int=1), uid="1", title="A", description=None, location=None, url=None, status="confirmed",
    start="20310328T090000", start_zone="UTC", end="20310328T090000", end_zone="UTC", reminders=[], sequence=0,
    source=None, edited=[], created="20260101T000000Z", updated="20260101T000000Z", organizer_name="Ann",
    organizer_email="ann@example.org", organizes=True, response=None, people=[], recurrence=[],
)  # fmt: skip

MESS = [
    "BEGIN:VALARM", "END:VALARM", "END:X", "BEGIN:X-Y", "END:x-y", "no line", "X", " : ", "A;B",
    "RRULE:FREQ=DAILY", "RDATE:", 'X-A;B="c:d":e', "SUMMARY:b", "X-D;TZID=Nowhere:20310101T090000",
    "ATTENDEE", "ATTENDEE:mailto:a@example.org", "RECURRENCE-ID:20310101T090000Z", "X-T;TZID=Eastern:1",
    "EXDATE;TZID=Eastern;VALUE=DATE-TIME:20310101T090000,20310102T090000", "COMMENT:\x0b\x1e\u2028\x85",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(MESS), max_size=12), st.booleans())
@example(["BEGIN:X-Y", "BEGIN:VALARM", "END:X", "SUMMARY:b"], True)
@example(["A;B", " : "], True)  # which is one line: a parameter without a value
async def test_whatever_was_imported_becomes_a_calendar(mess: list[str], organizes: bool) -> None:
    zone = OUTLOOK.split("\n")
    said_first = ["BEGIN:VEVENT", "UID:1", "DTSTART;TZID=Eastern:20310328T090000"]
    text = "\r\n".join(["BEGIN:VCALENDAR", *zone, *said_first, *mess, "END:VEVENT", "END:VCALENDAR", ""])
    entries, _ = read(text.encode(), None, "Asia/Tokyo")
    for entry in entries:
        start = entry.state.start
        event = BARE._replace(
            source=entry.source, start_zone=start.zone, start=f"{start.wall:%Y%m%dT%H%M%S}", organizes=organizes
        )
        content = await writing.file([event])
        [calendar] = calendars(content)
        [component] = calendar.walk("VEVENT")
        assert (component["UID"], component["DTSTART"].dt.isoformat()) == ("1", "2031-03-28T09:00:00-04:00")
        assert not any(component.errors for component in calendar.walk())
        [again], failures = read(content, None, "Asia/Tokyo")
        assert not failures
        assert again.state.start.instant == start.instant
