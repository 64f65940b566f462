"""The sweep over intervals, and the search for slots, against what one finds minute by minute."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_api.free_busy.asking import Calendar, Occupied
from planner_api.free_busy.intervals import Busy, gaps, merged
from planner_api.free_busy.suggesting import Search, Slot, WorkingHours, suggest

MINUTE = timedelta(minutes=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"]
# Each the day before clocks change somewhere among them, and a plain one.
BEGINS = [datetime(2031, *day, tzinfo=UTC) for day in ((3, 29), (10, 25), (3, 8), (4, 5), (10, 4), (9, 27), (5, 5))]
TYPES = st.sampled_from(["BUSY", "BUSY-TENTATIVE"])


def instants(begin: datetime, minutes: int) -> st.SearchStrategy[datetime]:
    return st.integers(-60, minutes + 60).map(lambda minute: begin + minute * MINUTE)


def intervals(begin: datetime, minutes: int) -> st.SearchStrategy[list[Busy]]:
    return st.lists(st.builds(Busy, instants(begin, minutes), instants(begin, minutes), TYPES), max_size=8)


def minutes_of(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + number * MINUTE for number in range((end - begin) // MINUTE)]


BEGIN = BEGINS[0]
END = BEGIN + timedelta(hours=4)


@settings(deadline=None)
@given(intervals(BEGIN, 240))
def test_merged(given_ones: list[Busy]) -> None:
    found = merged(given_ones, BEGIN, END)
    for minute in minutes_of(BEGIN - timedelta(hours=1), END + timedelta(hours=1)):
        there = {one.type for one in given_ones if one.start <= minute < one.end and BEGIN <= minute < END}
        expected = ["BUSY"] if "BUSY" in there else ["BUSY-TENTATIVE"] if there else []
        assert [one.type for one in found if one.start <= minute < one.end] == expected
    for one, following in pairwise(found):
        assert (one.end, one.type) < (following.start, following.type) or one.end == following.start != one.start
        assert one.end < following.start or one.type != following.type, "what touches is one"
    free = list(gaps(found, BEGIN, END))
    assert all(start < end for start, end in free)
    pieces = sorted([*free, *((one.start, one.end) for one in found)])
    assert [pieces[0][0], *(start for start, _ in pieces[1:]), END] == [BEGIN, *(end for _, end in pieces)]


def works(minute: datetime, zone: str, hours: WorkingHours) -> bool:
    local = minute.astimezone(ZoneInfo(zone))
    day, wall = local.weekday(), local.time()
    if hours.start < hours.end:
        return day in hours.days and hours.start <= wall < hours.end
    return (day in hours.days and wall >= hours.start) or ((day - 1) % 7 in hours.days and wall < hours.end)


def by_the_minute(required: Sequence[Calendar], optional: Sequence[Calendar], search: Search, limit: int) -> list[Slot]:
    def free(person: Calendar) -> set[datetime]:
        return {
            minute
            for minute in minutes_of(search.begin, search.end)
            if not any(one.start <= minute < one.end for one in person.busy)
            and (search.hours is None or works(minute, person.time_zone, search.hours))
        }

    needed = [free(person) for person in required]
    welcome = [free(person) for person in optional]
    found = []
    start = search.begin
    while start + search.duration <= search.end and len(found) < limit:
        slot = set(minutes_of(start, start + search.duration))
        if all(slot <= person for person in needed) and not (search.not_before and start < search.not_before):
            found.append(Slot(start, start + search.duration, sum(slot <= person for person in welcome)))
        start += search.step
    return found


# Not in the hours that clocks skip or show twice: what a shift means that begins there is the RFC's to say.
WALLS = st.builds(time, st.integers(4, 23), st.sampled_from([0, 30]))
HOURS = st.builds(WorkingHours, WALLS, WALLS, st.frozensets(st.integers(0, 6), min_size=1))


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[Calendar], list[Calendar], Search, int]:
    begin = draw(st.sampled_from(BEGINS)) + draw(st.integers(0, 120)) * MINUTE
    length = draw(st.integers(1, 40 * 60))
    calendars = st.builds(
        lambda zone, busy: Calendar(zone, [Occupied(UUID(int=0), one) for one in busy]),
        st.sampled_from(ZONES),
        intervals(begin, length),
    )
    search = Search(
        begin,
        begin + length * MINUTE,
        draw(st.integers(5, 300)) * MINUTE,
        draw(st.integers(5, 90)) * MINUTE,
        draw(st.none() | HOURS),
        draw(st.none() | instants(begin, length)),
    )
    people = st.lists(calendars, max_size=3)
    return draw(people), draw(people), search, draw(st.integers(1, 20))


@settings(deadline=None)
@given(searches())
def test_slots(given_ones: tuple[list[Calendar], list[Calendar], Search, int]) -> None:
    assert suggest(*given_ones) == by_the_minute(*given_ones)


NIGHT = WorkingHours(time(22), time(6), frozenset({5}))
WHOLE_DAY = WorkingHours(time(), time(), frozenset({6}))


@pytest.mark.parametrize(
    ("hours", "zone", "begin", "shift"),
    [
        # The night from Saturday in which clocks change, and the Sunday: an hour short, or long.
        (NIGHT, "Europe/Berlin", "2031-03-29", "29T21:00/30T04:00"),
        (NIGHT, "Europe/Berlin", "2031-10-25", "25T20:00/26T05:00"),
        (NIGHT, "UTC", "2031-05-10", "10T22:00/11T06:00"),
        (WHOLE_DAY, "Europe/Berlin", "2031-03-29", "29T23:00/30T22:00"),
        (WHOLE_DAY, "America/Havana", "2031-03-08", "09T05:00/10T04:00"),
        # RFC 5545 §3.3.5: of what is skipped the offset from before counts, of what comes twice the first.
        (WorkingHours(time(2, 30), time(4), frozenset({6})), "Europe/Berlin", "2031-03-29", "30T01:30/30T02:00"),
        (WorkingHours(time(2, 30), time(4), frozenset({6})), "Europe/Berlin", "2031-10-25", "26T00:30/26T03:00"),
    ],
)
def test_shifts(hours: WorkingHours, zone: str, begin: str, shift: str) -> None:
    first = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    [found] = hours.shifts(zone, first, first + timedelta(days=2))
    assert f"{found.start:%dT%H:%M}/{found.end:%dT%H:%M}" == shift
