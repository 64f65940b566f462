"""When occurrences take place: on the clock of their zone, whatever it does, and where they were moved to."""

from datetime import UTC, datetime, timedelta

import pytest
from planner_common.moments import Moment
from planner_common.recurrence import MAX_SPAN, Override, Recurrence, RecurrenceError, Series

BERLIN, NEW_YORK, APIA = "Europe/Berlin", "America/New_York", "Pacific/Apia"


def at(text: str, zone: str | None = BERLIN) -> Moment:
    return Moment(datetime.fromisoformat(text), zone)


def series(start: Moment, end: Moment, *lines: str) -> Series:
    return Series(start, end, Recurrence.read(lines, start, end))


def listed(of: Series, begin: str, end: str) -> list[str]:
    """Start and end in UTC."""
    return [
        f"{found.starts_at:%m-%d %H:%M} {found.ends_at:%m-%d %H:%M}"
        for found in of.between(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end)))
    ]


def test_nine_in_berlin_stays_nine_in_berlin_across_march_and_october() -> None:
    weekly = series(at("2026-03-23T09:00"), at("2026-03-23T10:00"), "RRULE:FREQ=WEEKLY")
    assert listed(weekly, "2026-03-20", "2026-04-01") == [
        "03-23 08:00 03-23 09:00",
        "03-30 07:00 03-30 08:00",
    ]
    assert listed(weekly, "2026-10-19", "2026-10-27") == [
        "10-19 07:00 10-19 08:00",
        "10-26 08:00 10-26 09:00",
    ]
    assert {found.start.wall.hour for found in weekly.between(*year(2026))} == {9}


def year(number: int) -> tuple[datetime, datetime]:
    return datetime(number, 1, 1, tzinfo=UTC), datetime(number + 1, 1, 1, tzinfo=UTC)


def test_a_time_that_the_zone_skips_or_repeats_takes_place_once() -> None:
    nightly = series(at("2026-03-28T02:30"), at("2026-03-28T03:00"), "RRULE:FREQ=DAILY")
    assert listed(nightly, "2026-03-28", "2026-03-31") == [
        "03-28 01:30 03-28 02:00",
        "03-29 01:30 03-29 02:00",  # 3:30 on the clock; what would end at 3:00 keeps its half hour
        "03-30 00:30 03-30 01:00",
    ]
    assert listed(nightly, "2026-10-24T20:00", "2026-10-27") == [
        "10-25 00:30 10-25 02:00",  # the first of two; ends at the only 3:00
        "10-26 01:30 10-26 02:00",
    ]


def test_a_night_shift_ends_by_the_clock() -> None:
    shift = series(at("2026-03-27T22:00"), at("2026-03-28T06:00"), "RRULE:FREQ=DAILY")
    assert listed(shift, "2026-03-28T12:00", "2026-03-29T12:00") == ["03-28 21:00 03-29 04:00"]  # seven hours
    assert listed(shift, "2026-10-24T12:00", "2026-10-25T12:00") == ["10-24 20:00 10-25 05:00"]  # nine


def test_a_flight_starts_and_ends_by_different_clocks() -> None:
    flight = series(at("2026-03-02T10:00"), at("2026-03-02T13:00", NEW_YORK), "RRULE:FREQ=WEEKLY")
    # In between, America has changed its clocks and Europe has not.
    assert listed(flight, "2026-03-02", "2026-03-10") == [
        "03-02 09:00 03-02 18:00",
        "03-09 09:00 03-09 17:00",
    ]


def test_the_day_that_samoa_skipped() -> None:
    daily = series(at("2011-12-28T09:00", APIA), at("2011-12-28T10:00", APIA), "RRULE:FREQ=DAILY;COUNT=5")
    found = list(daily.between(datetime(2011, 12, 1, tzinfo=UTC), datetime(2012, 2, 1, tzinfo=UTC)))
    assert [(f"{one.starts_at:%d %H}", one.recurrence_id) for one in found] == [
        ("28 19", "20111228T090000"),
        ("29 19", "20111229T090000"),
        ("30 19", "20111230T090000"),  # the skipped day and the one after it fall on the same instant
        ("30 19", "20111231T090000"),
        ("31 19", "20120101T090000"),
    ]


def test_occurrences_come_in_the_order_in_which_they_take_place_also_where_an_hour_is_skipped() -> None:
    often = series(at("2026-03-28T02:30"), at("2026-03-28T02:40"), "RRULE:FREQ=DAILY;BYHOUR=2,3;BYMINUTE=15,30")
    found = [one.recurrence_id[9:13] for one in often.between(*two_days())]
    assert found == ["0230", "0315", "0330", "0215", "0315", "0230", "0330", "0215", "0230", "0315", "0330"]


def two_days() -> tuple[datetime, datetime]:
    return datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC)


def test_days_have_no_zone() -> None:
    weekend = series(at("2026-03-28", None), at("2026-03-30", None), "RRULE:FREQ=WEEKLY", "EXDATE:20260404")
    assert listed(weekend, "2026-03-29", "2026-04-12") == [
        "03-28 00:00 03-30 00:00",
        "04-11 00:00 04-13 00:00",
    ]
    assert [one.recurrence_id for one in weekend.between(*year(2026))][:2] == ["20260328", "20260411"]


def test_a_range_has_what_goes_on_when_it_begins_and_not_what_starts_when_it_ends() -> None:
    daily = series(at("2026-01-01T09:00", "UTC"), at("2026-01-01T10:00", "UTC"), "RRULE:FREQ=DAILY")
    assert listed(daily, "2026-01-05T09:59", "2026-01-06T09:00") == ["01-05 09:00 01-05 10:00"]
    assert listed(daily, "2026-01-05T10:00", "2026-01-06T09:01") == ["01-06 09:00 01-06 10:00"]
    assert listed(daily, "2025-01-05", "2026-01-01T09:00") == []
    long = series(at("2026-01-01T09:00", "UTC"), at("2026-03-01T09:00", "UTC"), "RRULE:FREQ=MONTHLY")
    assert [begin[:5] for begin in listed(long, "2026-03-15", "2026-03-16")] == ["02-01", "03-01"]


def test_what_does_not_repeat_has_one_occurrence() -> None:
    once = series(at("2026-01-01T09:00"), at("2026-01-01T10:00"))
    assert listed(once, "2025-12-01", "2026-02-01") == ["01-01 08:00 01-01 09:00"]


def starts(of: Series) -> list[str]:
    return [begin[:11] for begin in listed(of, "2026-03-01", "2026-05-01")]


def test_the_start_is_an_occurrence_though_the_rule_does_not_name_it_and_counts() -> None:
    mondays = series(at("2026-03-25T09:00"), at("2026-03-25T10:00"), "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=3")
    assert starts(mondays) == [
        "03-25 08:00",
        "03-30 07:00",
        "04-06 07:00",
    ]


def test_what_the_rule_leaves_open_the_start_decides() -> None:
    for rule, expected in (
        ("FREQ=YEARLY;BYWEEKNO=14", ["03-25 08:00", "04-01 07:00"]),  # a Wednesday in that week
        ("FREQ=YEARLY;BYMONTH=4", ["03-25 08:00", "04-25 07:00"]),
        ("FREQ=MONTHLY;BYHOUR=8", ["03-25 08:00", "04-25 06:00"]),
        ("FREQ=WEEKLY;BYMONTH=4;COUNT=3", ["03-25 08:00", "04-01 07:00", "04-08 07:00"]),
    ):
        assert starts(series(at("2026-03-25T09:00"), at("2026-03-25T10:00"), f"RRULE:{rule}")) == expected


def test_dates_are_added_taken_out_and_counted_once() -> None:
    lines = [
        "RRULE:FREQ=DAILY;COUNT=3",
        "RDATE:20260326T090000,20260328T180000",
        "EXDATE:20260327T090000,20300101T090000",
    ]
    few = series(at("2026-03-25T09:00"), at("2026-03-25T10:00"), *lines)
    assert starts(few) == [
        "03-25 08:00",
        "03-26 08:00",
        "03-28 17:00",
    ]


def test_moved_occurrences_are_where_they_were_moved_to_and_keep_their_name() -> None:
    start, end = at("2026-03-23T09:00"), at("2026-03-23T10:00")
    daily = Series(
        start,
        end,
        Recurrence.read(["RRULE:FREQ=DAILY"], start, end),
        {
            at("2026-03-24T09:00").wall: Override(at("2026-03-26T12:00", "UTC"), at("2026-03-26T13:00", "UTC")),
            at("2026-03-25T09:00").wall: None,
            at("2027-01-01T09:00").wall: Override(at("2026-03-23T07:00"), at("2026-03-23T08:00")),
        },
    )
    begin, until = datetime(2026, 3, 23, tzinfo=UTC), datetime(2026, 3, 27, tzinfo=UTC)
    assert [(one.recurrence_id, f"{one.starts_at:%d %H}", one.start.zone) for one in daily.between(begin, until)] == [
        ("20270101T090000", "23 06", BERLIN),
        ("20260323T090000", "23 08", BERLIN),
        ("20260326T090000", "26 08", BERLIN),
        ("20260324T090000", "26 12", "UTC"),
    ]
    moved = daily.occurrence(at("2026-03-24T09:00").wall)
    assert moved is not None
    assert (moved.original, moved.start) == (at("2026-03-24T09:00"), at("2026-03-26T12:00", "UTC"))
    assert daily.occurrence(at("2026-03-25T09:00").wall) is None
    assert daily.occurrence(at("2026-03-26T09:00").wall) is not None
    assert daily.occurrence(at("2026-03-26T09:01").wall) is None


def test_a_range_is_limited_and_computed_as_it_is_taken() -> None:
    daily = series(at("0002-01-01T09:00", "UTC"), at("0002-01-01T10:00", "UTC"), "RRULE:FREQ=DAILY")
    first = next(daily.between(datetime(9990, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC) + MAX_SPAN))
    assert first.starts_at == datetime(9990, 1, 1, 9, tzinfo=UTC)
    with pytest.raises(RecurrenceError, match="at most 1830 days"):
        next(daily.between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC) + MAX_SPAN))


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Midway", None])
def test_the_ends_of_time_do_no_harm(zone: str | None) -> None:
    earliest, latest = at("0002-01-01", zone), at("9998-12-31", zone)
    for start, lines in ((earliest, ["RRULE:FREQ=YEARLY;INTERVAL=10"]), (latest, [])):
        end = Moment(start.wall + timedelta(hours=23), zone)
        of = Series(start, end, Recurrence.read(lines, start, end))
        assert next(of.between(start.instant, start.instant + timedelta(hours=1))).start == start
    with pytest.raises(RecurrenceError, match="no occurrence after the start"):
        Recurrence.read(["RRULE:FREQ=DAILY"], latest, latest)
