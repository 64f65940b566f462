"""The first slots in which all who are required can."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.tests.conftest import Join, Person

from .conftest import DAY, MONDAY, Make, hours

Meet = Callable[..., Awaitable[str]]


async def suggested(caller: Person, *required: Person, **body: Any) -> dict[str, Any]:
    wanted = DAY | {"duration_minutes": 60, "required": [one.email for one in required]} | body
    answer = await caller.post("/events/suggest", json=wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def starts(caller: Person, *required: Person, **body: Any) -> list[str]:
    return [slot["starts_at"][8:16] for slot in (await suggested(caller, *required, **body))["slots"]]


async def test_the_first_in_which_all_required_can(ann: Person, bob: Person, make: Make, meet: Meet) -> None:
    await meet(ann, bob)
    await make(ann, hours("00:00", "09:00"))
    await make(bob, hours("09:30", "10:30"))
    await make(ann, hours("12:00", "23:00"))
    assert await starts(ann, ann, bob) == ["05T10:30", "05T10:45", "05T11:00", "05T23:00"]
    assert await starts(ann, ann, bob, limit=2, step_minutes=60) == ["05T11:00", "05T23:00"]
    assert await starts(ann, ann, bob, duration_minutes=90) == ["05T10:30"]
    assert await starts(ann, ann, bob, duration_minutes=120) == []


async def test_an_invitation_keeps_one_from_coming(ann: Person, bob: Person, make: Make) -> None:
    await make(bob, hours("00:00", "23:00"), ann)
    assert await starts(ann, ann) == ["05T23:00"]


async def test_the_optional_are_counted(ann: Person, bob: Person, carl: Person, make: Make, meet: Meet) -> None:
    await meet(ann, bob, carl)
    await make(bob, hours("09:00", "10:00"))
    await make(carl, hours("09:30", "11:00"))
    morning = {"from": f"{MONDAY}T08:00:00Z", "step_minutes": 60}
    optional = [bob.email, carl.email, ann.email, "nobody@example.org"]
    found = await suggested(ann, ann, optional=optional, **morning)
    assert [slot["optional_free"] for slot in found["slots"]] == [2, 0, 1, 2, 2], "Ann, who is required, is not counted"
    assert found["unknown"] == ["nobody@example.org"]
    assert found["slots"][0] == {
        "starts_at": "2031-05-05T08:00:00Z",
        "ends_at": "2031-05-05T09:00:00Z",
        "optional_free": 2,
    }


async def test_working_hours_are_each_ones_own(ann: Person, join: Join, meet: Meet) -> None:
    """Nine to five in New York and Berlin: they share two hours, in the weeks between their changes of clocks three."""
    nina, bert = join("Nina", time_zone="America/New_York"), join("Bert", time_zone="Europe/Berlin")
    await meet(nina, ann, bert)
    await meet(ann, nina, bert)
    working = {"working_hours": {"from": "09:00", "to": "17:00"}, "step_minutes": 60, "limit": 20}
    assert await starts(ann, nina, bert, **working) == ["05T13:00", "05T14:00"]
    march = {"from": "2031-03-17T00:00:00Z", "to": "2031-03-18T00:00:00Z"}
    assert await starts(ann, nina, bert, **working, **march) == ["17T13:00", "17T14:00", "17T15:00"]
    weekend = {"from": "2031-05-02T15:00:00Z", "to": "2031-05-05T14:00:00Z"}
    assert await starts(ann, nina, bert, **working, **weekend) == ["05T13:00"]
    days = {"working_hours": working["working_hours"] | {"days": ["SU"]}}
    assert await starts(ann, nina, bert, **(working | days), **weekend) == ["04T13:00", "04T14:00"]
    found = await suggested(ann, bert, optional=[nina.email], **working)
    assert [slot["optional_free"] for slot in found["slots"]] == [0, 0, 0, 0, 0, 0, 1, 1]


async def test_not_before_now(ann: Person) -> None:
    now = datetime.now(UTC)
    body = {"from": f"{now - timedelta(days=1):%FT%TZ}", "to": f"{now + timedelta(days=1):%FT%TZ}"}
    [slot] = (await suggested(ann, ann, limit=1, **body))["slots"]
    start = datetime.fromisoformat(slot["starts_at"])
    assert now <= start < datetime.now(UTC) + timedelta(minutes=15)
    assert (start - datetime.fromisoformat(body["from"])) % timedelta(minutes=15) == timedelta()


def people(number: int) -> list[str]:
    return [f"person-{n}@example.org" for n in range(number)]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"required": people(41)}, "/optional"),
        ({"required": people(51), "optional": []}, "/required"),
        ({"required": []}, "/required"),
        ({"to": "2031-07-06T00:00:01Z"}, "/to"),
        ({"duration_minutes": 4}, "/duration_minutes"),
        ({"duration_minutes": 7 * 24 * 60 + 1}, "/duration_minutes"),
        ({"duration_minutes": 30.0}, "/duration_minutes"),
        ({"step_minutes": 0}, "/step_minutes"),
        ({"limit": 21}, "/limit"),
        ({"limit": 0}, "/limit"),
        ({"working_hours": {"from": "09:00"}}, "/working_hours/to"),
        ({"working_hours": {"from": "09:00", "to": "25:00"}}, "/working_hours/to"),
        ({"working_hours": {"from": "09:00", "to": "17:00", "days": []}}, "/working_hours/days"),
        ({"working_hours": {"from": "09:00", "to": "17:00", "days": ["Monday"]}}, "/working_hours/days/0"),
    ],
)
async def test_it_has_bounds(change: dict[str, Any], pointer: str, ann: Person) -> None:
    body: dict[str, Any] = DAY | {"required": people(40), "optional": people(10), "duration_minutes": 7 * 24 * 60}
    body |= {"to": "2031-07-06T00:00:00Z", "limit": 20, "working_hours": None}
    assert (await ann.post("/events/suggest", json=body)).status_code == 200
    refused = await ann.post("/events/suggest", json=body | change)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_at_the_end_of_time(join: Join) -> None:
    for number, zone in enumerate(("Pacific/Kiritimati", "Pacific/Midway")):
        zoe = join(f"Zoe{number}", time_zone=zone)
        night = {"from": "9998-12-31T00:00:00Z", "to": "9998-12-31T23:59:59-23:59"}
        found = await suggested(zoe, zoe, **night, working_hours={"from": "22:00", "to": "06:00"}, limit=1)
        assert len(found["slots"]) == 1
        assert (await zoe.post("/free-busy", json=night | {"people": [zoe.email]})).status_code == 200
