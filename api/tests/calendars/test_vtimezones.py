"""VTIMEZONEs that are made of IANA zones, as an independent reader (dateutil) follows them."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from dateutil.tz import tzical
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_api.calendars.vtimezones import vtimezone
from planner_api.schemas.common import zone_names

ODD = [
    "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "America/Caracas", "Africa/Casablanca",
    "Africa/Monrovia", "Asia/Jerusalem", "Asia/Pyongyang", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia",
    "Antarctica/Troll", "Etc/GMT+12",
]  # fmt: skip


def agree(name: str, instant: datetime) -> bool:
    """Whether the wall time of an instant is the same, for both, at the first of the two times that it may come."""
    zone = tzical(StringIO(vtimezone(name).replace("\r\n", "\n"))).get()
    wall = instant.astimezone(ZoneInfo(name)).replace(fold=0)
    return bool(wall.replace(tzinfo=zone).utcoffset() == wall.utcoffset())


@pytest.mark.parametrize("name", ODD)
def test_around_every_change_of_odd_zones(name: str) -> None:
    zone = ZoneInfo(name)
    hours = (datetime(1972, 2, 1, tzinfo=UTC) + timedelta(days=day) for day in range(0, 365 * 65, 1))
    before = None
    for day in hours:
        offset = day.astimezone(zone).utcoffset()
        if before not in {None, offset}:
            assert agree(name, day - timedelta(days=1))
            assert agree(name, day)
        before = offset


@settings(deadline=None)
@given(
    st.sampled_from(sorted(zone_names())),
    st.datetimes(datetime(1972, 2, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_any_time_in_any_zone(name: str, instant: datetime) -> None:
    assert agree(name, instant.replace(microsecond=0))


def test_it_is_short_and_without_end() -> None:
    berlin = vtimezone("Europe/Berlin")
    assert "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\n" in berlin
    assert "DTSTART:19810329T020000\r\n" in berlin  # by the clock that is then changed
    assert len(berlin) < 1_500
    # The Friday before the last Sunday: no week of the month.
    assert "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=FR;BYMONTHDAY=23,24,25,26,27,28,29\r\n" in vtimezone("Asia/Jerusalem")
    assert vtimezone("Europe/Dublin").count("BEGIN:DAYLIGHT\r\nDTSTART:1981") == 1  # which law has the other way round
    assert "RRULE" not in vtimezone("Africa/Casablanca")  # by the moon
    assert vtimezone("UTC").count("TZOFFSETTO:+0000") == 1
