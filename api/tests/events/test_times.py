"""What a wall time in a zone means, and which times are refused."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from planner_api.schemas.times import Time
from planner_common.moments import Moment

from .conftest import EVENT

NEW_YORK = "America/New_York"
BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("wall", "zone", "instant"),
    [
        ("2026-03-28T09:00:00", BERLIN, "2026-03-28T08:00:00"),
        # RFC 5545 §3.3.5's own examples: the hour that comes twice, and the one that never comes.
        ("2007-11-04T01:30:00", NEW_YORK, "2007-11-04T05:30:00"),
        ("2007-03-11T02:30:00", NEW_YORK, "2007-03-11T07:30:00"),
        ("2026-03-29T02:30:00", BERLIN, "2026-03-29T01:30:00"),
        ("2026-10-25T02:30:00", BERLIN, "2026-10-25T00:30:00"),
        # A day that Samoa skipped, and an offset of minutes and seconds (local mean time).
        ("2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30T22:00:00"),
        ("1850-01-01T12:00:00", BERLIN, "1850-01-01T11:06:32"),
        ("0002-01-01T00:00:00", BERLIN, "0001-12-31T23:06:32"),
        ("9998-12-31T23:59:59", "Pacific/Midway", "9999-01-01T10:59:59"),
    ],
)
def test_wall_times_are_resolved_as_the_rfc_says(wall: str, zone: str, instant: str) -> None:
    moment = Time.model_validate({"date_time": wall, "time_zone": zone}).moment()
    assert moment.instant == datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert moment.shown() == {"date_time": wall, "time_zone": zone}


def test_a_date_is_midnight_in_utc() -> None:
    moment = Time.model_validate({"date": "2026-03-29"}).moment()
    assert moment == Moment(datetime(2026, 3, 29), None)  # noqa: DTZ001
    assert moment.instant == datetime(2026, 3, 29, tzinfo=UTC)
    assert moment.shown() == {"date": date(2026, 3, 29).isoformat()}


def at(wall: str, zone: str = BERLIN) -> dict[str, str]:
    return {"date_time": wall, "time_zone": zone}


NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"start": at("2031-03-28T09:00:00", "Europe/Atlantis")}, "/start/time_zone"),
    ({"start": at("2031-03-28T09:00:00", "../../etc/passwd")}, "/start/time_zone"),
    ({"start": at("2031-03-28T09:00:00", "localtime")}, "/start/time_zone"),
    ({"start": at("2031-02-30T09:00:00")}, "/start/date_time"),
    ({"start": at("2031-03-28")}, "/start/date_time"),
    ({"start": at("2031-03-28T09:00:00Z")}, "/start/date_time"),
    ({"start": at("2031-03-28T09:00:00.5")}, "/start/date_time"),
    ({"start": {"date_time": 1_900_000_000, "time_zone": BERLIN}}, "/start/date_time"),
    ({"start": at("0001-01-01T00:00:00", "Pacific/Kiritimati")}, "/start/date_time"),
    ({"end": at("9999-12-31T23:59:59", "Pacific/Midway")}, "/end/date_time"),
    ({"start": {"date": "9999-12-31"}}, "/start/date"),
    ({"start": {"date": "2031-03-28"}}, "/end"),
    ({"start": {"date": "2031-03-28"}, "end": {"date": "2031-03-28"}}, "/end"),
    ({"end": EVENT["start"]}, "/end"),
    ({"end": at("2031-03-28T09:30:00", "Asia/Tokyo")}, "/end"),
    ({"start": {"date_time": "2031-03-28T09:00:00"}}, "/start"),
    ({"start": {"date": "2031-03-28", "time_zone": BERLIN}}, "/start"),
    ({"start": {}}, "/start"),
    ({"start": None}, "/start"),
    ({"start": {"date": None}}, "/start/date"),
    ({"start": "2031-03-28T09:00:00"}, "/start"),
    ({"start": {"date": "2031-03-28", "day": 1}}, "/start/day"),
]


async def test_times_that_make_no_sense_are_refused(ann: Any, subtests: pytest.Subtests) -> None:
    for times, pointer in NONSENSE:
        with subtests.test(times=times):
            answer = await ann.post("/events", json={**EVENT, **times})
            assert answer.status_code == 422, answer.text
            assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


async def test_a_whole_day_and_two_zones(ann: Any) -> None:
    times: list[tuple[Any, Any, str, str]] = [
        ({"date": "2031-03-28"}, {"date": "2031-03-30"}, "2031-03-28T00:00:00Z", "2031-03-30T00:00:00Z"),
        (
            at("2031-07-01T10:00:00", BERLIN),
            at("2031-07-01T13:00:00", NEW_YORK),
            "2031-07-01T08:00:00Z",
            "2031-07-01T17:00:00Z",
        ),
    ]
    for start, end, starts_at, ends_at in times:
        event = (await ann.post("/events", json={**EVENT, "start": start, "end": end})).json()
        assert (event["start"], event["end"]) == (start, end)
        assert (event["starts_at"], event["ends_at"]) == (starts_at, ends_at)
        assert event["all_day"] is ("date" in start)
