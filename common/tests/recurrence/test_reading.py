"""What is taken for a recurrence, what it looks like afterwards, and what is refused with which words."""

from datetime import datetime, timedelta

import pytest
from planner_common.moments import Moment
from planner_common.recurrence import Recurrence, RecurrenceError

BERLIN = "Europe/Berlin"
START = Moment(datetime(2026, 3, 30, 9), BERLIN)  # noqa: DTZ001  # wall time
END = Moment(datetime(2026, 3, 30, 10), BERLIN)  # noqa: DTZ001
DAY, NEXT_DAY = Moment(datetime(2026, 3, 30), None), Moment(datetime(2026, 3, 31), None)  # noqa: DTZ001


def kept(*lines: str, start: Moment = START) -> list[str]:
    end = Moment(start.wall + timedelta(days=1), start.zone)
    return Recurrence.read(lines, start, end).lines(start.zone)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("RRULE:FREQ=WEEKLY", "RRULE:FREQ=WEEKLY"),
        ("rrule:byday=we,mo,mo;freq=weekly;interval=1;wkst=mo", "RRULE:FREQ=WEEKLY;BYDAY=MO,WE"),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO, TU;", "RRULE:FREQ=WEEKLY;BYDAY=MO,TU"),  # as Exchange writes
        ("RRULE;TZID=Eastern:FREQ=DAILY;COUNT=005", "RRULE:FREQ=DAILY;COUNT=5"),
        (
            "RRULE:FREQ=MONTHLY;BYSETPOS=-1;BYDAY=+2MO,-1FR;WKST=SU;INTERVAL=02",
            "RRULE:FREQ=MONTHLY;INTERVAL=2;BYSETPOS=-1;BYDAY=2MO,-1FR;WKST=SU",
        ),
        ("RRULE:FREQ=DAILY;UNTIL=20260401T070000Z", "RRULE:FREQ=DAILY;UNTIL=20260401T070000Z"),
        # Wall time in the event's zone, and all of a day there.
        ("RRULE:FREQ=DAILY;UNTIL=20260401T090000", "RRULE:FREQ=DAILY;UNTIL=20260401T070000Z"),
        ("RRULE:FREQ=DAILY;UNTIL=20260401", "RRULE:FREQ=DAILY;UNTIL=20260401T215959Z"),
        ("RDATE:20260402T090000,20260401T090000", "RDATE;TZID=Europe/Berlin:20260401T090000,20260402T090000"),
        ("RDATE;VALUE=DATE-TIME:20260401T070000Z", "RDATE;TZID=Europe/Berlin:20260401T090000"),
        ("RDATE;TZID=America/New_York:20260401T030000", "RDATE;TZID=Europe/Berlin:20260401T090000"),
        ('RDATE;X-WHY=":;";TZID="Eastern Standard Time":20260401T030000', "RDATE;TZID=Europe/Berlin:20260401T090000"),
        (
            "RDATE;TZID=/example.org/Europe/Berlin:20260401T090000",
            "RDATE;TZID=Europe/Berlin:20260401T090000",
        ),
    ],
)
def test_what_means_the_same_is_written_in_one_way(given: str, written: str) -> None:
    assert kept(given) == [written]
    assert kept(written) == [written]


def test_a_recurrence_of_days_and_one_in_utc() -> None:
    lines = ["RRULE:FREQ=DAILY;UNTIL=20260405T120000Z", "RDATE;VALUE=DATE:20260501", "EXDATE:20260331"]
    assert kept(*lines, start=DAY) == [
        "RRULE:FREQ=DAILY;UNTIL=20260405",
        "RDATE;VALUE=DATE:20260501",
        "EXDATE;VALUE=DATE:20260331",
    ]
    utc = Moment(START.wall, "UTC")
    assert kept("EXDATE;TZID=Europe/Berlin:20260401T110000", "RRULE:FREQ=DAILY", start=utc) == [
        "RRULE:FREQ=DAILY",
        "EXDATE:20260401T090000Z",
    ]


def test_no_lines_are_no_recurrence() -> None:
    assert not Recurrence.read([], START, END)
    assert kept() == []


REFUSED = [
    ("FREQ=WEEKLY", "write RRULE:…, RDATE:… or EXDATE:…"),
    ("DTSTART:20260330T090000", "DTSTART is none of RRULE, RDATE, EXDATE"),
    ("EXRULE:FREQ=DAILY", "name the dates with EXDATE"),
    ("RRULE:", "must be written like FREQ=WEEKLY"),
    ("RRULE:FREQ", "FREQ must be written like"),
    ("RRULE:INTERVAL=2", "FREQ is missing"),
    ("RRULE:FREQ=FORTNIGHTLY", "FREQ=FORTNIGHTLY is unknown: use DAILY, WEEKLY, MONTHLY, YEARLY"),
    ("RRULE:FREQ=DAILY;FREQ=WEEKLY", "FREQ is there twice"),
    ("RRULE:FREQ=DAILY;BYEASTER=0", "BYEASTER is no part of a rule"),
    ("RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101", "COUNT and UNTIL exclude each other"),
    ("RRULE:FREQ=DAILY;COUNT=0", "COUNT must be a number from 1"),
    ("RRULE:FREQ=DAILY;INTERVAL=-1", "INTERVAL must be a number from 1"),
    ("RRULE:FREQ=DAILY;UNTIL=20260330T065959Z", "UNTIL must not be before the start"),
    ("RRULE:FREQ=DAILY;UNTIL=tomorrow", "UNTIL has TOMORROW: write 20260330"),
    ("RRULE:FREQ=DAILY;UNTIL=20260230", "UNTIL has 20260230"),
    ("RRULE:FREQ=DAILY;UNTIL=99990101", "the year must be from 2 to 9997"),
    ("RRULE:FREQ=WEEKLY;BYDAY=MON", "BYDAY has days like MO, 2TU or -1FR"),
    ("RRULE:FREQ=MONTHLY;BYDAY=0MO", "BYDAY has days like"),
    ("RRULE:FREQ=YEARLY;BYDAY=54MO", "numbers up to 53"),
    ("RRULE:FREQ=WEEKLY;BYDAY=1MO", "needs FREQ=MONTHLY or YEARLY"),
    ("RRULE:FREQ=YEARLY;BYDAY=1MO;BYWEEKNO=20", "does not go with BYWEEKNO"),
    ("RRULE:FREQ=MONTHLY;BYWEEKNO=20", "BYWEEKNO needs FREQ=YEARLY"),
    ("RRULE:FREQ=MONTHLY;BYYEARDAY=20", "BYYEARDAY needs FREQ=YEARLY"),
    ("RRULE:FREQ=WEEKLY;BYMONTHDAY=20", "BYMONTHDAY does not go with FREQ=WEEKLY"),
    ("RRULE:FREQ=WEEKLY;BYSETPOS=1", "BYSETPOS chooses among days"),
    ("RRULE:FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY has numbers from 1 to 31 or -31 to -1, not 0"),
    ("RRULE:FREQ=MONTHLY;BYMONTH=13", "BYMONTH has numbers from 1 to 12, not 13"),
    ("RRULE:FREQ=MONTHLY;BYMONTH=-1", "BYMONTH has numbers from 1 to 12, not -1"),
    ("RRULE:FREQ=DAILY;BYSECOND=60", "BYSECOND has numbers from 0 to 59"),
    ("RRULE:FREQ=WEEKLY;WKST=XX", "WKST is one of MO"),
    ("RDATE:20260401", "it needs a time"),
    ("RDATE:", "RDATE has no value"),
    ("RDATE;TZID=Europe/Atlantis:20260401T090000", "unknown TZID Europe/Atlantis: use an IANA zone"),
    ("RDATE;VALUE=PERIOD:20260401T090000/PT1H", "RDATE with periods is not taken: name the start alone"),
    ("RDATE;VALUE=TIME:090000", "VALUE=TIME"),
    ("RDATE:20261025T013000Z", "that hour comes twice, and this is the second"),
    ("EXDATE:20260401T090000", "add RRULE or RDATE"),
    # What would be looked for for ever, or for hours.
    ("RRULE:FREQ=SECONDLY", "use FREQ=DAILY"),
    ("RRULE:FREQ=DAILY;COUNT=1000000000", "COUNT must be a number from 1 to 2000 .leave it out"),
    ("RRULE:FREQ=DAILY;INTERVAL=" + 300 * "9", "INTERVAL must be a number from 1 to 1000"),
    ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "names days that no month of BYMONTH has"),
    ("RRULE:FREQ=DAILY;BYMONTH=4,6;BYMONTHDAY=31,-31", "names days that no month of BYMONTH has"),
    ("RRULE:FREQ=YEARLY;BYMONTH=1;BYYEARDAY=366", "its parts contradict each other"),
    ("RRULE:FREQ=YEARLY;BYDAY=MO;BYSETPOS=366", "its parts contradict each other"),
    ("RRULE:FREQ=YEARLY;BYDAY=MO;BYSETPOS=366;COUNT=2", "COUNT=2 is not reached within 100 years"),
    ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;COUNT=2000", "COUNT=2000 is not reached within 100 years"),
    ("RRULE:FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=0,10,20,30,40", "more than 24 times a day"),
    (f"RRULE:FREQ=DAILY;BYHOUR={','.join(2000 * ['1'])}", "at most 1000 characters"),
    (f"RDATE:{','.join(1300 * ['20260401T090000'])}", "up to 20000 characters"),
]


@pytest.mark.parametrize(("line", "words"), REFUSED, ids=[line[:60] for line, _ in REFUSED])
def test_what_is_wrong_is_said(line: str, words: str) -> None:
    with pytest.raises(RecurrenceError, match=words) as refused:
        Recurrence.read([line], START, END)
    assert refused.value.line == 0


def test_the_line_at_fault_is_named() -> None:
    with pytest.raises(RecurrenceError, match="a second RRULE") as refused:
        Recurrence.read(["RRULE:FREQ=DAILY", "EXDATE:20260401T090000", "RRULE:FREQ=WEEKLY"], START, END)
    assert refused.value.line == 2


def test_days_take_no_times() -> None:
    for line, words in (
        ("RRULE:FREQ=DAILY;BYHOUR=9", "this one is of whole days"),
        ("RDATE:20260401T090000", "it needs a date"),
    ):
        with pytest.raises(RecurrenceError, match=words):
            Recurrence.read([line], DAY, NEXT_DAY)


def test_numbers_of_lines_and_dates_and_the_length_of_an_event_are_limited() -> None:
    day = timedelta(days=1)
    days = [f"{START.wall + at * day:%Y%m%dT%H%M%S}" for at in range(1500)]
    dates = [f"EXDATE:{','.join(days[at : at + 500])}" for at in (0, 500, 1000)]
    assert Recurrence.read(["RRULE:FREQ=DAILY", *dates[:2]], START, END)
    with pytest.raises(RecurrenceError, match="more than 1000 dates") as refused:
        Recurrence.read(["RRULE:FREQ=DAILY", *dates], START, END)
    assert refused.value.line == 3
    with pytest.raises(RecurrenceError, match="at most 100 lines"):
        Recurrence.read(["RRULE:FREQ=DAILY", *(100 * ["EXDATE:20260401T090000"])], START, END)
    with pytest.raises(RecurrenceError, match="lasts at most 366 days"):
        Recurrence.read(["RRULE:FREQ=YEARLY"], START, Moment(START.wall + 367 * day, BERLIN))
