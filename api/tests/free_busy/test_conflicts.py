"""What else the caller has at the time of an event."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Connection, text

from api.tests.conftest import Join, Person

from .conftest import Make, hours, respond


async def conflicts(person: Person, event: str) -> list[dict[str, Any]]:
    answer = await person.get(f"/events/{event}/conflicts")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_ids_and_times_of_ones_own(ann: Person, bob: Person, make: Make) -> None:
    event = await make(ann, hours("09:00", "10:00"), bob)
    await make(ann, hours("10:00", "11:00"), bob)
    await make(ann, hours("08:00", "09:00"))
    other = await make(bob, hours("09:30", "12:00"))
    perhaps = await make(ann, hours("09:59", "10:30"), ann, bob)
    declined = await make(ann, hours("09:00", "10:00"), bob)
    await respond(bob, declined, "declined")
    assert await conflicts(bob, event) == [
        {"event_id": other, "starts_at": "2031-05-05T09:30:00Z", "ends_at": "2031-05-05T12:00:00Z", "type": "BUSY"},
        {
            "event_id": perhaps,
            "starts_at": "2031-05-05T09:59:00Z",
            "ends_at": "2031-05-05T10:30:00Z",
            "type": "BUSY-TENTATIVE",
        },
    ]
    assert [one["event_id"] for one in await conflicts(ann, event)] == [declined, perhaps]


async def test_a_whole_day_is_ones_own(join: Join, make: Make) -> None:
    zoe = join("Zoe", time_zone="Pacific/Kiritimati")
    day = await make(zoe, {"start": {"date": "2031-05-05"}, "end": {"date": "2031-05-06"}})
    early = await make(zoe, hours("09:00", "11:00", "2031-05-04"))
    late = await make(zoe, hours("10:00", "11:00"))
    assert [one["event_id"] for one in await conflicts(zoe, day)] == [early]
    assert [one["event_id"] for one in await conflicts(zoe, early)] == [day]
    assert await conflicts(zoe, late) == []


async def test_a_few_and_nothing_of_the_past(ann: Person, make: Make, connection: Connection) -> None:
    event = await make(ann, hours("09:00", "10:00"))
    others = [await make(ann, hours(f"09:{minute:02}", "10:00")) for minute in range(25)]
    assert [one["event_id"] for one in await conflicts(ann, event)] == others[:20]
    long = await make(ann, hours("09:00", "10:00", "2031-01-01", "2032-01-01"))
    assert len(await conflicts(ann, event)) == 20
    assert await conflicts(ann, long) == [], "of a long event so many days are looked at"
    now = datetime.now(UTC)
    connection.execute(
        text("""
            UPDATE events SET starts_at = :start, start_wall = CAST(:start AS timestamptz) AT TIME ZONE 'UTC',
                   ends_at = :end, end_wall = CAST(:end AS timestamptz) AT TIME ZONE 'UTC'
        """),
        {"start": now - timedelta(days=1), "end": now},
    )
    assert await conflicts(ann, event) == []


async def test_every_kind_of_caller(
    ann: Person, bob: Person, carl: Person, client: httpx.AsyncClient, make: Make
) -> None:
    event = await make(ann, hours("09:00", "10:00"), bob)
    await make(carl, hours("09:00", "10:00"))
    assert await conflicts(ann, event) == await conflicts(bob, event) == []
    assert (await carl.get(f"/events/{event}/conflicts")).status_code == 404
    assert (await client.get(f"/api/v1/events/{event}/conflicts")).status_code == 401
