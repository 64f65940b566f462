"""Whom one may ask when they are busy, and what one is answered: times, and nothing else."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from planner_api.events.people import CROWD
from planner_api.free_busy.asking import OCCUPIED
from planner_api.schemas.times import Time
from sqlalchemy import Connection, Engine, event, text

from api.tests.conftest import Join, Person

from .conftest import DAY, MONDAY, Make, asked, at, busy, hours, respond

Meet = Callable[..., Awaitable[str]]


def moved(connection: Connection, event: str, end: datetime) -> None:
    """As if time had gone by."""
    when = {"event": event, "end": end, "start": end - timedelta(hours=1)}
    connection.execute(text("UPDATE events SET starts_at = :start, ends_at = :end WHERE id = :event"), when)
    connection.execute(text("UPDATE participants SET ends_at = :end WHERE event_id = :event"), when)


async def state(caller: Person, person: Person | str) -> str:
    [found] = await asked(caller, person)
    known: str = found["state"]
    return known


async def test_oneself(ann: Person, make: Make) -> None:
    await make(ann, hours("09:00", "10:00"))
    assert await asked(ann, ann) == [
        {
            "email": "ann@example.org",
            "state": "known",
            "busy": [{"starts_at": "2031-05-05T09:00:00Z", "ends_at": "2031-05-05T10:00:00Z", "type": "BUSY"}],
        }
    ]


async def test_who_may_not_be_asked_looks_like_nobody(ann: Person, bob: Person, make: Make) -> None:
    await make(bob, hours("09:00", "10:00"))
    stranger, nobody = await asked(ann, bob, "nobody@example.org")
    assert stranger == {"email": "bob@example.org", "state": "unknown", "busy": []}
    assert nobody == {"email": "nobody@example.org", "state": "unknown", "busy": []}
    body = {"from": DAY["from"], "to": DAY["to"], "duration_minutes": 60}
    slots = [
        (await ann.post("/events/suggest", json=body | {"required": [email], "optional": [ann.email]})).json()
        for email in (bob.email, "nobody@example.org")
    ]
    assert [one.pop("unknown") for one in slots] == [[bob.email], ["nobody@example.org"]]
    assert slots[0] == slots[1]


async def test_only_times_are_told(ann: Person, bob: Person, make: Make, meet: Meet) -> None:
    await meet(ann, bob)
    event = await make(bob, hours("09:00", "10:00"), location="Where nobody knows")
    answer = await asked(ann, bob)
    assert set(answer[0]) == {"email", "state", "busy"}
    assert set(answer[0]["busy"][0]) == {"starts_at", "ends_at", "type"}
    assert not any(word in json.dumps(answer) for word in ("secret", "nobody knows", event))


async def test_whom_one_meets(ann: Person, bob: Person, carl: Person, meet: Meet) -> None:
    """To be invited says nothing of oneself: whoever knows an address could have done it."""
    event = await meet(ann, bob, carl, response="needs_action")
    assert [await state(one, ann) for one in (bob, carl)] == ["known", "known"], "she has invited them"
    assert [await state(one, bob) for one in (ann, carl)] == ["unknown", "unknown"]
    for response, expected in [("tentative", "known"), ("declined", "unknown"), ("accepted", "known")]:
        await respond(bob, event, response)
        assert [await state(one, bob) for one in (ann, carl)] == [expected, expected], response


@pytest.mark.parametrize("end", ["cancel", "delete", "leave"])
async def test_what_does_not_take_place_brings_nobody_together(
    end: str, ann: Person, bob: Person, carl: Person, meet: Meet
) -> None:
    event = await meet(ann, bob, carl)
    assert await state(bob, carl) == await state(bob, ann) == await state(carl, bob) == "known"
    if end == "cancel":
        assert (await ann.post(f"/events/{event}/cancel")).status_code == 200
    elif end == "delete":
        assert (await ann.delete(f"/events/{event}", headers={"If-Match": "*"})).status_code == 204
    else:
        people = (await ann.get(f"/events/{event}/participants")).json()["items"]
        [mine] = [one["id"] for one in people if one["email"] == bob.email]
        assert (await ann.delete(f"/events/{event}/participants/{mine}")).status_code == 204
    assert await state(bob, carl) == await state(bob, ann) == await state(carl, bob) == "unknown"


async def test_a_meeting_is_remembered_for_a_month(
    ann: Person, bob: Person, meet: Meet, connection: Connection
) -> None:
    event = await meet(ann, bob)
    now = datetime.now(UTC)
    for days, expected in ((29, "known"), (31, "unknown")):
        moved(connection, event, now - timedelta(days=days))
        assert await state(ann, bob) == await state(bob, ann) == expected


async def test_a_crowd_does_not_meet(ann: Person, bob: Person, meet: Meet) -> None:
    event = await meet(ann, bob)
    guests = [{"email": f"guest-{number}@example.org"} for number in range(100)]
    assert (await ann.post(f"/events/{event}/participants", json={"participants": guests[:99]})).status_code == 201
    assert await state(ann, bob) == await state(bob, ann) == "known"
    assert (await ann.post(f"/events/{event}/participants", json={"participants": guests[99:]})).status_code == 201
    assert await state(ann, bob) == await state(bob, ann) == "unknown"


async def test_who_does_not_want_it_is_not_asked(ann: Person, bob: Person, meet: Meet) -> None:
    await meet(ann, bob)
    wanted = (await bob.get("/me/preferences")).json()
    assert wanted["free_busy"] == "everyone_i_meet"
    put = await bob.put("/me/preferences", json=wanted | {"free_busy": "nobody"})
    assert put.json() == wanted | {"free_busy": "nobody"}
    assert (await state(ann, bob), await state(bob, bob), await state(bob, ann)) == ("unknown", "known", "known")
    # Who knows nothing of it yet does not undo it.
    del wanted["free_busy"]
    assert (await bob.put("/me/preferences", json=wanted)).json()["free_busy"] == "nobody"
    assert (await bob.put("/me/preferences", json=wanted | {"free_busy": "friends"})).status_code == 422
    assert (await bob.put("/me/preferences", json=wanted | {"free_busy": "everyone_i_meet"})).status_code == 200
    assert await state(ann, bob) == "known"


async def test_what_one_is_busy_with(ann: Person, bob: Person, make: Make, connection: Connection) -> None:
    accepted = await make(ann, hours("01:00", "02:00"), bob)
    await respond(bob, accepted, "accepted")
    perhaps = await make(ann, hours("03:00", "04:00"), bob)
    await respond(bob, perhaps, "tentative")
    await make(ann, hours("05:00", "06:00"), bob)
    declined = await make(ann, hours("07:00", "08:00"), bob)
    await respond(bob, declined, "declined")
    tentative = await make(ann, hours("09:00", "10:00"), bob)
    await respond(bob, tentative, "accepted")
    connection.execute(text("UPDATE events SET status = 'tentative' WHERE id = :id"), {"id": tentative})
    removed = await make(ann, hours("10:30", "11:30"), bob)
    [there] = (await ann.get(f"/events/{removed}/participants")).json()["items"]
    await ann.delete(f"/events/{removed}/participants/{there['id']}")
    cancelled = await make(bob, hours("11:00", "12:00"))
    await bob.post(f"/events/{cancelled}/cancel")
    deleted = await make(bob, hours("13:00", "14:00"))
    await bob.delete(f"/events/{deleted}", headers={"If-Match": "*"})
    assert await busy(bob, bob) == [
        "05T01:00/05T02:00",
        "05T03:00/05T04:00?",
        "05T05:00/05T06:00?",
        "05T09:00/05T10:00?",
    ]


async def test_an_organizer_comes_unless_they_say_otherwise(ann: Person, make: Make) -> None:
    event = await make(ann, hours("09:00", "10:00"), ann)
    assert await busy(ann, ann) == ["05T09:00/05T10:00"]
    for response, expected in [("tentative", ["05T09:00/05T10:00?"]), ("declined", [])]:
        await respond(ann, event, response)
        assert await busy(ann, ann) == expected


async def test_merged_and_within_the_range(ann: Person, bob: Person, make: Make) -> None:
    await make(ann, hours("22:00", "01:00", "2031-05-04", MONDAY))
    await make(ann, hours("09:00", "10:00"))
    await make(ann, hours("10:00", "11:00"))
    await make(bob, hours("08:00", "12:00"), ann)
    await make(ann, hours("23:00", "01:00", MONDAY, "2031-05-06"))
    await make(ann, hours("00:00", "01:00", "2031-05-06"))
    await make(ann, hours("23:00", "00:00", "2031-05-04", MONDAY))
    assert await busy(ann, ann) == [
        "05T00:00/05T01:00",
        "05T08:00/05T09:00?",
        "05T09:00/05T11:00",
        "05T11:00/05T12:00?",
        "05T23:00/06T00:00",
    ]


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("UTC", "2031-05-05", "05T00:00/06T00:00"),
        ("Pacific/Kiritimati", "2031-05-05", "04T10:00/05T10:00"),
        ("Pacific/Midway", "2031-05-05", "05T11:00/06T11:00"),
        # The clocks change that day: it has 23 hours, or 25.
        ("Europe/Berlin", "2031-03-30", "29T23:00/30T22:00"),
        ("Europe/Berlin", "2031-10-26", "25T22:00/26T23:00"),
        # At midnight, which comes twice, or never.
        ("America/Havana", "2031-03-09", "09T05:00/10T04:00"),
        ("America/Santiago", "2031-09-07", "07T04:00/08T03:00"),
    ],
)
async def test_whole_days_are_in_ones_own_zone(
    zone: str, day: str, expected: str, join: Join, ann: Person, make: Make
) -> None:
    zoe = join("Zoe", time_zone=zone)
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    whole = {"start": {"date": day}, "end": {"date": (begin + timedelta(days=1)).date().isoformat()}}
    event = await make(ann, whole, zoe)
    await respond(zoe, event, "accepted")
    around = {"from": f"{(begin - timedelta(days=2)):%FT%TZ}", "to": f"{(begin + timedelta(days=3)):%FT%TZ}"}
    assert await busy(zoe, zoe, **around) == [expected]
    # Of the range's edges too, where the day in UTC lies beside it.
    start, end = (Time.model_validate(at("00:00", edge, zone)).moment().instant for edge in (day, whole["end"]["date"]))
    for from_, to in [(start - timedelta(minutes=2), start + timedelta(minutes=1)), (end - timedelta(minutes=1), end)]:
        assert len(await busy(zoe, zoe, **{"from": f"{from_:%FT%TZ}", "to": f"{to:%FT%TZ}"})) == 1
    assert await busy(zoe, zoe, **{"from": f"{end:%FT%TZ}", "to": f"{(end + timedelta(minutes=1)):%FT%TZ}"}) == []


async def test_what_is_moved_later_is_still_found(ann: Person, bob: Person, make: Make) -> None:
    """By participants, whose past is passed over by an end of their own."""
    event = await make(ann, hours("09:00", "10:00", "2030-05-05"), bob)
    await respond(bob, event, "accepted")
    later = hours("09:00", "10:00")
    assert (await ann.patch(f"/events/{event}", json=later, headers={"If-Match": "*"})).status_code == 200
    assert await busy(bob, bob) == ["05T09:00/05T10:00"]
    earlier = hours("07:00", "08:00")
    assert (await ann.patch(f"/events/{event}", json=earlier, headers={"If-Match": "*"})).status_code == 200
    assert await busy(bob, bob) == ["05T07:00/05T08:00"]


async def test_what_people_are_added_to_knows_its_end(
    ann: Person, bob: Person, make: Make, connection: Connection
) -> None:
    event = await make(ann, hours("09:00", "10:00"), ann)
    await ann.post(f"/events/{event}/participants", json={"participants": [{"email": bob.email}]})
    ends = connection.execute(text("SELECT DISTINCT ends_at FROM participants")).scalars().all()
    assert ends == [datetime(2031, 5, 5, 10, tzinfo=UTC)]


async def test_of_rows_from_before_it_is_not_known(
    ann: Person, bob: Person, make: Make, connection: Connection
) -> None:
    await make(ann, hours("09:00", "10:00"), bob)
    connection.execute(text("UPDATE participants SET ends_at = DEFAULT"))
    assert await busy(bob, bob) == ["05T09:00/05T10:00?"]


async def test_each_is_asked_once_in_the_order_named(ann: Person) -> None:
    named = ["zoe@example.org", "Ann@Example.org", "zoe@EXAMPLE.org", "ann@example.org"]
    assert [one["email"] for one in await asked(ann, *named)] == ["zoe@example.org", "ann@example.org"]


def people(number: int) -> list[str]:
    return [f"person-{n}@example.org" for n in range(number)]


LONG_AGO = f"{(datetime.now(UTC) - timedelta(days=32)):%FT%TZ}"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"people": people(51)}, "/people"),
        ({"people": []}, "/people"),
        ({"people": ["nobody"]}, "/people/0"),
        ({"to": DAY["from"]}, "/to"),
        ({"to": "2031-05-04T23:59:59Z"}, "/to"),
        ({"to": "2031-07-06T00:00:01Z"}, "/to"),
        ({"from": LONG_AGO}, "/from"),
        ({"from": "2031-05-05T00:00:00"}, "/from"),
        ({"title": True}, "/title"),
    ],
)
async def test_it_has_bounds(change: dict[str, Any], pointer: str, ann: Person) -> None:
    body: dict[str, Any] = DAY | {"people": people(50), "to": "2031-07-06T00:00:00Z"}
    assert (await ann.post("/free-busy", json=body)).status_code == 200
    refused = await ann.post("/free-busy", json=body | change)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_every_kind_of_caller(ann: Person, client: httpx.AsyncClient) -> None:
    """A token that may only read may not ask: it could not give a key either, whose answer is written down."""
    callers: list[tuple[dict[str, str], int]] = [({}, 401)]
    for scopes, expected in ((["read"], 403), (["read", "write"], 200)):
        token = (await ann.post("/me/tokens", json={"name": "script", "scopes": scopes})).json()["token"]
        callers.append(({"Authorization": f"Bearer {token}"}, expected))
    bodies = {
        "/free-busy": DAY | {"people": [ann.email]},
        "/events/suggest": DAY | {"required": [ann.email], "duration_minutes": 30},
    }
    for path, body in bodies.items():
        for login, expected in callers:
            answer = await client.post(f"/api/v1{path}", json=body, headers=login)
            assert answer.status_code == expected, answer.text


async def test_an_answer_is_kept_under_a_key(ann: Person, make: Make) -> None:
    key = {"Idempotency-Key": "when"}
    body = DAY | {"people": [ann.email]}
    first = await ann.post("/free-busy", json=body, headers=key)
    await make(ann, hours("09:00", "10:00"))
    again = await ann.post("/free-busy", json=body, headers=key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert await busy(ann, ann) == ["05T09:00/05T10:00"]


HISTORY = text("""
    WITH event AS (
        INSERT INTO events (uid, organizer_id, title, all_day, start_wall, end_wall, starts_at, ends_at)
        SELECT uuidv7()::text, CAST(:account AS uuid), 'Dinner', true, at, at + day, at, at + day
          FROM (SELECT interval '1 day' AS day, CAST(:first AS timestamp) + n % :days * interval '1 day' AS at
                  FROM generate_series(1, :events) n) days
        RETURNING id, ends_at
    )
    INSERT INTO participants (event_id, person_id, email, response, since_change, ends_at)
    SELECT event.id, person, 'x@example.org', 'accepted', 1, ends_at
      FROM event CROSS JOIN unnest(CAST(:people AS uuid[])) person
""")
EXPLAINED = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {OCCUPIED}")


def read(plan: dict[str, Any]) -> int:
    """How many rows of events and participants it reads."""
    own = 0
    if plan.get("Relation Name") in {"events", "participants"}:
        removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        own = int((plan["Actual Rows"] + removed) * plan["Actual Loops"])
    return own + sum(read(part) for part in plan.get("Plans", []))


async def test_what_is_over_is_passed_over(
    ann: Person, bob: Person, carl: Person, connection: Connection, worker_engine: Engine
) -> None:
    """A calendar costs what is in it now, however old it is, and whatever others have in theirs."""
    begin = datetime(2031, 5, 5, tzinfo=UTC)
    values = {
        "people": [ann.person_id, bob.person_id],
        "person": ann.person_id,
        "account": ann.account_id,
        "since": datetime.now(UTC) - timedelta(days=30),
        "begin": begin,
        "end": begin + timedelta(days=14),
    }

    def live(organizer: Person, *others: Person, events: int, first: str, days: int) -> None:
        people = [one.person_id for one in others]
        when = {"events": events, "first": datetime.fromisoformat(first), "days": days}
        connection.execute(HISTORY, {"account": organizer.account_id, "people": people, **when})

    def rows() -> int:
        connection.execute(text("VACUUM ANALYZE events, participants, accounts"))
        with worker_engine.begin() as transaction:
            # Of tables as small as these PostgreSQL would rather read everything.
            for way in ("seqscan", "hashjoin", "mergejoin"):
                transaction.execute(text(f"SET LOCAL enable_{way} = off"))
            [explained] = transaction.execute(EXPLAINED, values).scalar_one()
        return read(explained["Plan"])

    live(carl, carl, events=5_000, first=MONDAY, days=14)
    for organizer in (ann, bob):
        live(organizer, ann, bob, events=30, first=MONDAY, days=14)
    young = rows()
    for organizer in (ann, bob):
        live(organizer, ann, bob, events=2_000, first="2016-01-01", days=2_000)
    assert young / 2 < rows() < young * 2


async def test_one_statement_for_all(app: FastAPI, ann: Person) -> None:
    statements = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = app.state.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await asked(ann, *people(50))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1


async def test_to_move_a_crowd_writes_no_row_of_theirs(
    ann: Person, bob: Person, make: Make, connection: Connection
) -> None:
    """Only who is added with few others knows when the event ends: a move must not write a million rows."""
    crowd = [{"email": f"guest-{number}@example.org"} for number in range(CROWD)]
    event = await make(ann, hours("09:00", "10:00"), participants=[*crowd, {"email": bob.email}])
    rows = text("SELECT id, ends_at, xmin::text FROM participants ORDER BY id")
    before = connection.execute(rows).all()
    later = hours("09:00", "10:00", "2041-05-06")
    assert (await ann.patch(f"/events/{event}", json=later, headers={"If-Match": "*"})).status_code == 200
    assert connection.execute(rows).all() == before
    assert len(before) == CROWD + 1
