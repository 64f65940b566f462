"""A series in two parts has the occurrences it had in one; one that moves takes along what it says in dates."""

from datetime import UTC, datetime, timedelta

import pytest
from planner_common.moments import Moment
from planner_common.recurrence import Recurrence, RecurrenceError, Series, split

BERLIN = "Europe/Berlin"
START, END = Moment(datetime(2026, 3, 2, 9), BERLIN), Moment(datetime(2026, 3, 2, 10), BERLIN)  # noqa: DTZ001
YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def walls(recurrence: Recurrence, start: Moment) -> list[datetime]:
    end = Moment(start.wall + timedelta(hours=1), start.zone)
    return [one.original.wall for one in Series(start, end, recurrence).between(*YEAR)]


@pytest.mark.parametrize(
    "lines",
    [
        ["RRULE:FREQ=DAILY"],
        ["RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,SU;WKST=SU;COUNT=20"],
        ["RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,SU;UNTIL=20260901"],
        ["RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1;COUNT=15"],
        ["RRULE:FREQ=MONTHLY;BYMONTHDAY=2,31;BYHOUR=9,14"],
        [
            "RRULE:FREQ=DAILY;INTERVAL=9",
            "RDATE:20260310T180000,20260801T180000",
            "EXDATE:20260311T090000,20260827T090000",
        ],
        ["RRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=9"],  # the start is no Tuesday
        ["RDATE:20260310T180000,20260801T180000"],
    ],
)
def test_the_parts_have_together_what_there_was(lines: list[str]) -> None:
    recurrence = Recurrence.read(lines, START, END)
    whole = walls(recurrence, START)
    assert len(whole) > 2
    for place, at in enumerate(whole[1:30], 1):
        if recurrence.rule and at in recurrence.added:
            continue
        before, after = split(recurrence, START, at)
        begin = Moment(at, BERLIN)
        assert walls(before, START) == whole[:place]
        assert walls(after, begin) == whole[place:]
        assert at not in after.added
        for part, start in ((before, START), (after, begin)):
            end = Moment(start.wall + timedelta(hours=1), BERLIN)
            assert Recurrence.read(part.lines(BERLIN), start, end) == part


def test_a_series_of_days_ends_on_the_day_before() -> None:
    start, end = Moment(datetime(2026, 3, 2), None), Moment(datetime(2026, 3, 3), None)  # noqa: DTZ001
    before, after = split(Recurrence.read(["RRULE:FREQ=WEEKLY"], start, end), start, datetime(2026, 3, 16))  # noqa: DTZ001
    assert (before.lines(None), after.lines(None)) == (["RRULE:FREQ=WEEKLY;UNTIL=20260315"], ["RRULE:FREQ=WEEKLY"])


def test_counts_and_ends_are_those_of_the_parts() -> None:
    at = datetime(2026, 3, 5, 9)  # noqa: DTZ001
    for given, first, second in (
        ("FREQ=DAILY;COUNT=10", "FREQ=DAILY;COUNT=3", "FREQ=DAILY;COUNT=7"),
        ("FREQ=DAILY", "FREQ=DAILY;UNTIL=20260305T075959Z", "FREQ=DAILY"),
        ("FREQ=DAILY;UNTIL=20260310T080000Z", "FREQ=DAILY;UNTIL=20260305T075959Z", "FREQ=DAILY;UNTIL=20260310T080000Z"),
    ):
        before, after = split(Recurrence.read([f"RRULE:{given}"], START, END), START, at)
        assert (before.lines(BERLIN), after.lines(BERLIN)) == ([f"RRULE:{first}"], [f"RRULE:{second}"])


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2026-03-02T09:00", "the first occurrence: change the whole series"),
        ("2026-03-03T10:00", "no occurrence then"),
        ("2026-03-04T09:00", "no occurrence then"),
        ("2026-03-05T18:00", "added by RDATE and is not in the rule"),
        ("2026-02-01T09:00", "no occurrence then"),
    ],
)
def test_where_a_series_cannot_be_split(at: str, words: str) -> None:
    lines = ["RRULE:FREQ=DAILY", "EXDATE:20260304T090000", "RDATE:20260305T180000"]
    with pytest.raises(RecurrenceError, match=words):
        split(Recurrence.read(lines, START, END), START, datetime.fromisoformat(at))


def test_a_series_that_moves_keeps_its_exceptions_and_its_last_occurrence() -> None:
    lines = ["RRULE:FREQ=DAILY;UNTIL=20260401T070000Z", "RDATE:20260510T090000", "EXDATE:20260305T090000"]
    moved = Recurrence.read(lines, START, END).moved(START, Moment(START.wall + timedelta(hours=2), "Europe/London"))
    assert moved.lines("Europe/London") == [
        "RRULE:FREQ=DAILY;UNTIL=20260401T100000Z",
        "RDATE;TZID=Europe/London:20260510T110000",
        "EXDATE;TZID=Europe/London:20260305T110000",
    ]
    assert Recurrence.read(lines, START, END).moved(START, Moment(datetime(2026, 3, 3), None)).lines(None) == [  # noqa: DTZ001
        "RRULE:FREQ=DAILY;UNTIL=20260402",
        "RDATE;VALUE=DATE:20260511",
        "EXDATE;VALUE=DATE:20260306",
    ]
