"""What the events of a calendar file are understood to be."""

from typing import Any

import pytest
from planner_api.calendars.components import significant
from planner_api.calendars.reading import MAX_EVENTS, Entry, NoCalendarError, read
from planner_api.calendars.scanning import decoded
from planner_api.calendars.zones import _observance

HERE = "Asia/Tokyo"


def component(*lines: str, uid: str | None = "1", start: str | None = "DTSTART:20310328T090000Z") -> str:
    given = [f"UID:{uid}" if uid else None, start, *lines]
    return "\r\n".join(["BEGIN:VEVENT", *(line for line in given if line), "END:VEVENT"])


def calendar(*parts: str) -> bytes:
    return "\r\n".join(["BEGIN:VCALENDAR", *parts, "END:VCALENDAR", ""]).encode()


def one(*lines: str, before: tuple[str, ...] = (), **arguments: Any) -> Entry:
    entries, failures = read(calendar(*before, component(*lines, **arguments)), None, HERE)
    assert not failures
    (entry,) = entries
    return entry


def fault(*lines: str, **arguments: Any) -> str:
    entries, failures = read(calendar(component(*lines, **arguments), component(uid="2")), None, HERE)
    assert [entry.uid for entry in entries] == ["2"]  # what is wrong in one harms no other
    (failure,) = failures
    return failure.detail


def at(wall: str, zone: str) -> dict[str, str]:
    return {"date_time": wall, "time_zone": zone}


DAY, NEXT_DAY = {"date": "2031-03-28"}, {"date": "2031-03-29"}
NINE = at("2031-03-28T09:00:00", "Europe/Berlin")
BERLIN = "DTSTART;TZID=Europe/Berlin:20310328T090000"


@pytest.mark.parametrize(
    ("start", "lines", "expected"),
    [
        (BERLIN, ["DTEND;TZID=Europe/Berlin:20310328T100000"], (NINE, at("2031-03-28T10:00:00", "Europe/Berlin"))),
        (BERLIN, ["DTEND;TZID=Europe/London:20310328T100000"], (NINE, at("2031-03-28T10:00:00", "Europe/London"))),
        # RFC 5545 §3.6.1: without an end, a time is a moment and a date a day.
        (BERLIN, [], (NINE, NINE)),
        ("DTSTART;VALUE=DATE:20310328", [], (DAY, NEXT_DAY)),
        ("DTSTART:20310328", [], (DAY, NEXT_DAY)),
        ("DTSTART;VALUE=DATE:20310328", ["DTEND;VALUE=DATE:20310328"], (DAY, NEXT_DAY)),
        ("DTSTART;VALUE=DATE:20310328", ["DURATION:P1D"], (DAY, NEXT_DAY)),
        ("DTSTART;VALUE=DATE:20310328", ["DURATION:PT24H"], (DAY, NEXT_DAY)),
        ("DTSTART;TZID=Europe/Berlin;VALUE=DATE:20310328", [], (DAY, NEXT_DAY)),
        (BERLIN, ["DURATION:PT90M"], (NINE, at("2031-03-28T10:30:00", "Europe/Berlin"))),
        # Whose end the clocks show twice is said in UTC.
        (
            "DTSTART;TZID=Europe/Berlin:20261025T023000",
            ["DURATION:PT1H"],
            (at("2026-10-25T02:30:00", "Europe/Berlin"), at("2026-10-25T01:30:00", "UTC")),
        ),
        # Over the night in which the clocks change a day is 23 hours, and 24 hours are 24 hours.
        (
            "DTSTART;TZID=Europe/Berlin:20310329T120000",
            ["DURATION:P1D"],
            (at("2031-03-29T12:00:00", "Europe/Berlin"), at("2031-03-30T12:00:00", "Europe/Berlin")),
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20310329T120000",
            ["DURATION:PT24H"],
            (at("2031-03-29T12:00:00", "Europe/Berlin"), at("2031-03-30T13:00:00", "Europe/Berlin")),
        ),
        ("DTSTART:20310328T090000Z", [], (at("2031-03-28T09:00:00", "UTC"),) * 2),
        ("DTSTART:20310328T090000", [], (at("2031-03-28T09:00:00", HERE),) * 2),
        ("DTSTART;TZID=:20310328T090000", [], (at("2031-03-28T09:00:00", HERE),) * 2),
        ("DTSTART;TZID=Atlantis:20310328T090000", [], (at("2031-03-28T09:00:00", HERE),) * 2),
        ("DTSTART;TZID=/Europe/Berlin:20310328T090000", [], (NINE, NINE)),
        ("DTSTART;TZID=/freeassociation.sourceforge.net/Europe/Berlin:20310328T090000", [], (NINE, NINE)),
        ("DTSTART;TZID=W. Europe Standard Time:20310328T090000", [], (NINE, NINE)),
        ('DTSTART;TZID="America":20310328T090000', [], (at("2031-03-28T09:00:00", HERE),) * 2),  # a folder of zones
    ],
)
def test_times(start: str, lines: list[str], expected: tuple[Any, Any]) -> None:
    state = one(*lines, start=start).state
    assert (state.start.shown(), state.end.shown()) == expected


def test_floating_times_are_where_the_calendar_is() -> None:
    entry = one(start="DTSTART:20310328T090000", before=("X-WR-TIMEZONE:Europe/Berlin",))
    assert entry.state.start.shown() == NINE


OUTLOOK = """BEGIN:VTIMEZONE
TZID:Eastern
BEGIN:STANDARD
DTSTART:16011104T020000
RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010311T020000
RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
END:VTIMEZONE"""
ODD = OUTLOOK.replace("BYDAY=2SU", "BYDAY=3SU")
"""No zone begins its summer then."""
FIXED = OUTLOOK.replace("-0500", "-0400")
LIKE_HERE = FIXED.replace("-0400", "+0900")
NAMED = OUTLOOK.replace("TZID:Eastern", "TZID:Eastern\nX-LIC-LOCATION:America/New_York")


@pytest.mark.parametrize(
    ("zone", "wall", "expected"),
    [
        (OUTLOOK, "20310115T090000", at("2031-01-15T09:00:00", "America/New_York")),
        (OUTLOOK, "20310715T090000", at("2031-07-15T09:00:00", "America/New_York")),
        (ODD, "20310115T090000", at("2031-01-15T23:00:00", HERE)),
        (ODD, "20310715T090000", at("2031-07-15T22:00:00", HERE)),
        (FIXED, "20310115T090000", at("2031-01-15T09:00:00", "Etc/GMT+4")),
        (LIKE_HERE, "20310115T090000", at("2031-01-15T09:00:00", HERE)),
        (OUTLOOK, "22310715T090000", at("2231-07-15T09:00:00", HERE)),  # too far away to be calculated
        (NAMED, "20310115T090000", at("2031-01-15T09:00:00", "America/New_York")),
        (OUTLOOK.replace("YEARLY", "SECONDLY"), "20310115T090000", at("2031-01-15T09:00:00", HERE)),
        (OUTLOOK.replace("-0400", "-9999"), "20310115T090000", at("2031-01-15T09:00:00", HERE)),
        (OUTLOOK.replace("DTSTART", "START"), "20310115T090000", at("2031-01-15T09:00:00", HERE)),
    ],
    ids=[
        "winter",
        "summer",
        "odd winter",
        "odd summer",
        "no summer time",
        "as here",
        "far away",
        "named",
        "absurd rule",
        "absurd offset",
        "no onset",
    ],
)
def test_a_zone_that_only_the_file_knows(zone: str, wall: str, expected: dict[str, str]) -> None:
    entry = one(start=f"DTSTART;TZID=Eastern:{wall}", before=tuple(zone.split("\n")))
    assert entry.state.start.shown() == expected


def test_of_zones_with_the_same_clocks_the_name_in_the_file_decides() -> None:
    zone = OUTLOOK.replace("Eastern", "Haiti: Port-au-Prince")
    entry = one(start='DTSTART;TZID="Haiti: Port-au-Prince":20310115T090000', before=tuple(zone.split("\n")))
    assert entry.state.start.shown() == at("2031-01-15T09:00:00", "America/Port-au-Prince")


def test_a_rule_is_not_followed_through_the_centuries() -> None:
    rule = {"RRULE": ["FREQ=YEARLY;BYMONTH=11;BYDAY=1SU"], "TZOFFSETFROM": ["-0400"], "TZOFFSETTO": ["-0500"]}
    said = {"BEGIN": ["STANDARD"], "DTSTART": ["16011104T020000"], **rule}
    assert "DTSTART:20291104T020000" in _observance(said, 2031)
    said["RRULE"] = ["FREQ=YEARLY;UNTIL=20061029T060000Z;BYMONTH=10;BYDAY=-1SU"]
    assert "DTSTART:20041104T020000" in _observance(said, 2031)


def test_the_hour_that_comes_twice_keeps_its_instant() -> None:
    """Its second pass can't be said in wall time, so it is in UTC."""
    fixed = (
        "BEGIN:VTIMEZONE\nTZID:Fixed\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0000\nTZOFFSETTO:+0000\n"
    )
    zone = tuple((fixed + "END:STANDARD\nEND:VTIMEZONE").split("\n"))
    lines = {"start": "DTSTART;TZID=Fixed:20261025T013000", "before": ("X-WR-TIMEZONE:Europe/Berlin", *zone)}
    assert one(**lines).state.start.shown() == at("2026-10-25T01:30:00", "UTC")


@pytest.mark.parametrize(
    ("lines", "start", "said"),
    [
        ([], None, "no DTSTART"),
        ([], "DTSTART:tomorrow", "DTSTART"),
        ([], "DTSTART;;VALUE=DATE:20310328", "DTSTART"),
        ([], "DTSTART:20310230", "DTSTART"),
        ([], "DTSTART:PT1H", "neither a date nor a time"),
        ([], "DTSTART:00010101T000000Z", "the year must be"),
        ([], "DTSTART;TZID=Asia/Tokyo:99991231T235959", "the year must be"),
        (["DURATION:P3000000D"], "DTSTART:20310328", ""),
        (["DURATION:P999999999999W"], "DTSTART:20310328", "DURATION"),
        (["DURATION:-P2D"], "DTSTART:20310328", "ends before it starts"),
        (["DTEND:20310101T000000Z"], "DTSTART:20310328T090000Z", "ends before it starts"),
        (["DTEND;VALUE=DATE:20310329"], "DTSTART:20310328T090000Z", "one of DTSTART and DTEND is a date"),
        (["RRULE:FREQ=SOMETIMES"], "DTSTART:20310328", "RRULE"),
        (["EXDATE:"], "DTSTART:20310328", "EXDATE"),
        (["SUMMARY:NUL \0"], "DTSTART:20310328", "NUL"),
    ],
)
def test_what_makes_no_sense_is_reported(lines: list[str], start: str | None, said: str) -> None:
    assert said in fault(*lines, start=start)


def test_an_event_without_its_end() -> None:
    lost = component("SUMMARY:Lost").removesuffix("END:VEVENT")
    entries, failures = read(calendar(lost + component(uid="2")), None, HERE)
    assert [entry.uid for entry in entries] == ["2"]
    assert "END:VEVENT" in failures[0].detail


def test_texts() -> None:
    state = one(
        "SUMMARY;LANGUAGE=en:  Cake\\, tea\\n and more ",
        "DESCRIPTION:One\\nTwo\\; three",
        "LOCATION:Room 4",
        "URL;VALUE=URI:https://example.org/a,b;c",
        "STATUS:Tentative",
        "BEGIN:VALARM",
        "SUMMARY:An alarm's",
        "DESCRIPTION:An alarm's",
        "END:VALARM",
    ).state
    assert (state.title, state.description) == ("Cake, tea and more", "One\nTwo; three")
    assert (state.location, state.url, state.status) == ("Room 4", "https://example.org/a,b;c", "tentative")
    bare = one("URL:javascript:alert(1)", "DESCRIPTION:").state
    assert (bare.title, bare.description, bare.url, bare.status) == ("Untitled", None, None, "confirmed")
    folded = one("SUMMARY:" + "x" * 300, "DESCRIPTION:" + "y" * 20_001, "URL:https://example.org/" + "z" * 2_000).state
    assert (folded.title, len(folded.description or ""), folded.url) == ("x" * 199 + "…", 20_000, None)


def test_people() -> None:
    people = one(
        'ATTENDEE;CN="Berg, Ann";ROLE=CHAIR:mailto:Ann@Example.org',
        "ATTENDEE;ROLE=OPT-PARTICIPANT:MAILTO:bob%2Bplanner@example.org",
        "ATTENDEE;ROLE=NON-PARTICIPANT;PARTSTAT=ACCEPTED:mailto:carl@example.org",
        "ATTENDEE;EMAIL=dora@example.org:urn:uuid:1",
        "ATTENDEE:mailto:ann@example.org",
        "ATTENDEE:mailto:nobody",
        "ATTENDEE:http://example.org/eve",
        "ATTENDEE:",
        "ATTENDEE",
        "ORGANIZER:mailto:boss@example.org",
    ).people
    assert [(person.email, person.name, person.role) for person in people] == [
        ("ann@example.org", "Berg, Ann", "chair"),
        ("bob+planner@example.org", None, "optional"),
        ("carl@example.org", None, "optional"),
        ("dora@example.org", None, "required"),
    ]


def test_components_of_one_uid_are_one_event() -> None:
    first = component("SUMMARY:Standup", "RRULE:FREQ=DAILY")
    moved = component("SUMMARY:Late", "RECURRENCE-ID:20310329T090000Z", start="DTSTART:20310329T110000Z")
    entries, failures = read(calendar(moved, first), None, HERE)
    assert not failures
    (entry,) = entries
    assert entry.state.title == "Standup"
    assert entry.source == f"{moved}\r\n{first}"


def test_of_several_versions_the_newest_counts() -> None:
    versions = [
        component("SUMMARY:Second", "SEQUENCE:1", "DTSTAMP:20300101T000000Z"),
        component("SUMMARY:Third", "SEQUENCE:1", "DTSTAMP:20300102T000000Z"),
        component("SUMMARY:First", "SEQUENCE:0", "DTSTAMP:20300103T000000Z"),
    ]
    entries, _ = read(b"".join(calendar(version) for version in versions), None, HERE)
    assert [entry.state.title for entry in entries] == ["Third"]


def test_messages_about_events() -> None:
    """RFC 5546: a reply is no event, and a cancellation need not repeat the times."""
    request = calendar("METHOD:REQUEST", component("SUMMARY:Party", "SEQUENCE:1"))
    reply = calendar("METHOD:REPLY", component("ATTENDEE;PARTSTAT=DECLINED:mailto:bob@example.org", "SEQUENCE:9"))
    cancel = calendar("METHOD:CANCEL", component("SEQUENCE:2", start=None))
    entries, failures = read(request + reply, None, HERE)
    assert not failures
    assert [(entry.state.title, entry.state.status) for entry in entries] == [("Party", "confirmed")]
    entries, failures = read(request + cancel, None, HERE)
    assert not failures
    assert [(entry.state.title, entry.state.status) for entry in entries] == [("Party", "cancelled")]
    assert read(reply, None, HERE) == ([], [])


def test_what_has_no_uid_gets_one_of_what_it_says() -> None:
    said = [component("SUMMARY:A", f"DTSTAMP:2030010{day}T000000Z", uid=None) for day in (1, 2)]
    uids = [read(calendar(text), None, HERE)[0][0].uid for text in (*said, component("SUMMARY:B", uid=None))]
    assert uids[0] == uids[1] != uids[2]
    assert all(uid.startswith("sha256:") for uid in uids)
    assert len(one(uid="x" * 5_000).uid) == len(uids[0])


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("cp1252", None), ("koi8-r", "koi8-r")],
)
def test_encodings(encoding: str, charset: str | None) -> None:
    title = "Обед" if charset else "Mañana · «café»"
    content = calendar(component(f"SUMMARY:{title}")).decode().encode(encoding)
    entries, _ = read(content, charset, HERE)
    assert entries[0].state.title == title


def test_a_charset_that_is_none_is_not_believed() -> None:
    assert decoded(b"\\u0041 \xe9", "unicode_escape") == "\\u0041 é"
    assert decoded(b"\xe9", "no such thing") == decoded(b"\xe9", "utf-8") == "é"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"BEGIN:VEVENT\nEND:VEVENT", b"<html>", calendar(), calendar("BEGIN:VTODO", "UID:1", "END:VTODO")],
)
def test_no_calendar_or_one_without_events(content: bytes) -> None:
    with pytest.raises(NoCalendarError):
        read(content, None, HERE)


def test_no_more_events_than_can_be_taken() -> None:
    with pytest.raises(NoCalendarError, match="more than"):
        read(calendar(*["BEGIN:VEVENT\r\nEND:VEVENT"] * (MAX_EVENTS + 1)), None, HERE)


def test_what_passes_is_not_significant() -> None:
    same = [component("SUMMARY:A", f"DTSTAMP:2030010{day}T000000Z", f"SEQUENCE:{day}") for day in (1, 2)]
    assert significant(same[0]) == significant(same[1]) != significant(component("SUMMARY:B"))
