# ruff: noqa: ASYNC110, RUF001  # what another process does can only be polled for; a text in Russian
"""The main job, as people see it: an event goes in, and exactly those whom it concerns are told, once."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from planner_local.client import ApiError, Person
from planner_local.watch import Inbox

from tests.system import Outside

Join = Callable[..., Awaitable[Person]]
SECONDS = 60


def at(day: int, hour: int) -> dict[str, str]:
    return {"date_time": f"2030-05-{day:02}T{hour:02}:00:00", "time_zone": "Europe/Berlin"}


def dinner(*guests: str, **fields: Any) -> dict[str, Any]:
    participants = [{"email": guest} for guest in guests]
    return {"title": "Dinner", "start": at(1, 19), "end": at(1, 22), "participants": participants, **fields}


class Event:
    """An event and its organizer, who changes it."""

    def __init__(self, organizer: Person, event: dict[str, Any]) -> None:
        self.organizer = organizer
        self.id = event["id"]
        self.path = f"/events/{self.id}"

    async def change(self, **fields: Any) -> None:
        revision = (await self.organizer.call("GET", self.path)).headers["ETag"]
        await self.organizer.call("PATCH", self.path, json=fields, headers={"If-Match": revision})

    async def delete(self) -> None:
        revision = (await self.organizer.call("GET", self.path)).headers["ETag"]
        await self.organizer.call("DELETE", self.path, headers={"If-Match": revision})

    async def remove(self, person: Person) -> None:
        participants = [one async for one in self.organizer.items(f"{self.path}/participants")]
        [participant] = [one["id"] for one in participants if one["email"] == person.email]
        await self.organizer.call("DELETE", f"{self.path}/participants/{participant}")

    async def add(self, *guests: str) -> None:
        body = {"participants": [{"email": guest} for guest in guests]}
        await self.organizer.call("POST", f"{self.path}/participants", json=body)

    async def told(self, person: Person) -> list[str]:
        """The kinds of what a person was told of this event, oldest first."""
        items = [item async for item in person.items("/notifications")]
        return [item["kind"] for item in reversed(items) if item["event"]["id"] == self.id]


async def make(organizer: Person, *guests: str, **fields: Any) -> Event:
    return Event(organizer, (await organizer.call("POST", "/events", json=dinner(*guests, **fields))).json())


async def until_told(event: Event, **expected: tuple[Person, list[str]]) -> None:
    """Wait until someone of these knows all that is expected; then nobody may know less, or more.

    A change is told to all whom it concerns at once, so the others need no waiting.
    """
    async with asyncio.timeout(SECONDS):
        while True:
            told = {name: await event.told(person) for name, (person, _) in expected.items()}
            wanted = {name: kinds for name, (_, kinds) in expected.items()}
            if any(wanted[name] and told[name] == wanted[name] for name in wanted):
                told = {name: await event.told(person) for name, (person, _) in expected.items()}
            if told == wanted:
                return
            assert all(len(told[name]) <= len(wanted[name]) for name in wanted), (told, wanted)
            await asyncio.sleep(0.02)


async def test_each_change_is_told_to_exactly_those_whom_it_concerns(planner: Outside, join: Join) -> None:
    ann, ben, dora = [await join(name) for name in ("Ann", "Ben", "Dora")]
    carl = Person(ann.http, f"carl-{secrets.token_hex(4)}@example.org", "Carl")  # a guest, without an account
    to_ann: list[str] = []
    to_ben = ["invitation"]
    to_carl = ["invitation"]
    to_dora: list[str] = []

    async def settled() -> None:
        await until_told(event, ann=(ann, to_ann), ben=(ben, to_ben), dora=(dora, to_dora))

    event = await make(ann, ann.email, ben.email, carl.email)
    await settled()

    await event.change(location="The garden")
    to_ben.append("update")
    to_carl.append("update")
    await settled()

    await event.change(start=at(2, 19), end=at(2, 22))
    to_ben.append("reschedule")
    to_carl.append("reschedule")
    await settled()

    await ben.call("PUT", f"{event.path}/response", json={"response": "accepted", "comment": "With pleasure"})
    to_ann.append("response")
    await settled()

    await event.add(dora.email, ben.email)
    to_dora.append("invitation")
    await settled()

    await event.remove(ben)
    to_ben.append("removal")
    await settled()

    await event.change(title="Supper")
    to_dora.append("update")
    to_carl.append("update")
    await settled()

    await ann.call("POST", f"{event.path}/cancel")
    to_dora.append("cancellation")
    to_carl.append("cancellation")
    await settled()

    await ann.call("POST", f"{event.path}/restore")
    to_dora.append("restoration")
    to_carl.append("restoration")
    await settled()

    await event.delete()  # cancels first, since people would come
    to_dora.append("cancellation")
    to_carl.append("cancellation")
    await settled()

    await carl.register()
    assert await event.told(carl) == to_carl
    assert planner.faults() == (0, 0, 0)


async def test_a_place_that_becomes_free_is_given_and_told(planner: Outside, join: Join) -> None:
    ann, ben, carl, dora = [await join(name) for name in ("Ann", "Ben", "Carl", "Dora")]
    event = await make(ann, ben.email, carl.email, dora.email, capacity=1)
    for person in (ben, carl, dora):
        await person.call("PUT", f"{event.path}/response", json={"response": "accepted"})
    await ben.call("PUT", f"{event.path}/response", json={"response": "declined"})
    await until_told(
        event,
        ann=(ann, ["response"] * 4),
        ben=(ben, ["invitation"]),
        carl=(carl, ["invitation", "update"]),
        dora=(dora, ["invitation"]),
    )
    await event.remove(carl)
    await until_told(
        event,
        ann=(ann, ["response"] * 4),
        carl=(carl, ["invitation", "update", "removal"]),
        dora=(dora, ["invitation", "update"]),
    )
    [item, _] = [item async for item in dora.items("/notifications")]
    assert item["summary"].startswith("A place has become free, and it is yours: you take part in “Dinner”")
    assert planner.faults() == (0, 0, 0)


async def test_a_notification_comes_over_the_live_stream_and_stays_in_the_inbox(planner: Outside, join: Join) -> None:
    ann, ben = await join("Ann"), await join("Ben", locale="ru", time_zone="Asia/Tokyo")
    async with Inbox(ben) as inbox, asyncio.timeout(SECONDS):
        event = await make(ann, ben.email)
        await event.change(location="The garden")
        while len(inbox.arrived) < 2:
            await asyncio.sleep(0.01)
        arrived = [notification for _, notification in inbox.arrived.values()]
    assert sorted(item["kind"] for item in arrived) == ["invitation", "update"]
    assert inbox.twice == 0
    assert sorted(arrived, key=lambda item: item["id"], reverse=True) == await inbox.read()
    invitation = next(item for item in arrived if item["kind"] == "invitation")
    summary = " ".join(invitation["summary"].split())  # CLDR's spaces are of several kinds
    assert summary == "Ann приглашает вас на «Dinner»: четверг, 2 мая 2030 г., 02:00."
    assert (await ben.call("GET", "/notifications/count")).json() == {"unread": 2}


async def test_a_resumed_stream_brings_what_was_missed(planner: Outside, join: Join) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    async with asyncio.timeout(SECONDS):
        async with ben.stream() as stream:
            event = await make(ann, ben.email)
            first = await anext(stream)
        await event.change(location="The garden")
        await until_told(event, ben=(ben, ["invitation", "update"]))
        async with ben.stream(first["id"]) as stream:
            second = await anext(stream)
            await event.change(location="The kitchen")
            third = await anext(stream)
    assert [item["data"].get("location") for item in (first, second, third)] == [
        None,
        [None, "The garden"],
        ["The garden", "The kitchen"],
    ]


async def test_who_asks_for_silence_gets_it(planner: Outside, join: Join) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    quiet = Event(ann, (await ann.call("POST", "/events?notify=none", json=dinner(ben.email))).json())
    loud = await make(ann, ben.email)
    await until_told(loud, ben=(ben, ["invitation"]))
    assert await quiet.told(ben) == []
    assert (await ben.call("GET", quiet.path)).status_code == 200


async def test_a_thousand_at_once_are_told_once_each(planner: Outside, join: Join) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    guests = [f"guest-{secrets.token_hex(6)}@example.org" for _ in range(999)]
    event = await make(ann, *guests, ben.email)
    await event.change(location="The garden")
    await until_told(event, ben=(ben, ["invitation", "update"]))
    assert planner.faults() == (0, 0, 0)


CALENDAR = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Planner//Tests//EN\r
BEGIN:VEVENT\r
UID:{uid}-1\r
DTSTAMP:20300101T000000Z\r
DTSTART:20300601T100000Z\r
DTEND:20300601T110000Z\r
SUMMARY:Rowing\r
ATTENDEE:mailto:{attendee}\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:{uid}-2\r
DTSTAMP:20300101T000000Z\r
DTSTART;VALUE=DATE:20300602\r
SUMMARY:Regatta\r
END:VEVENT\r
END:VCALENDAR\r
"""


async def test_an_imported_calendar_is_told_to_its_attendees_and_those_invited(planner: Outside, join: Join) -> None:
    ann, ben, cleo = [await join(name) for name in ("Ann", "Ben", "Cleo")]
    calendar = CALENDAR.format(uid=secrets.token_hex(8), attendee=ben.email)
    headers = {"Content-Type": "text/calendar"}
    for expected in ({"created": 2, "unchanged": 0}, {"created": 0, "unchanged": 2}):
        params = {"invite": cleo.email, "notify": "all"}
        answer = await ann.call("POST", "/events/import", params=params, content=calendar, headers=headers)
        assert answer.json() == {"updated": 0, "failed": [], **expected}
    async with asyncio.timeout(SECONDS):
        while len(told := [item async for item in cleo.items("/notifications")]) < 2:
            await asyncio.sleep(0.02)
    assert sorted((item["kind"], item["event"]["title"]) for item in told) == [
        ("invitation", "Regatta"),
        ("invitation", "Rowing"),
    ]
    assert [item["event"]["title"] async for item in ben.items("/notifications")] == ["Rowing"]


async def test_bad_input_changes_nothing_and_tells_nobody(planner: Outside, join: Join) -> None:
    ann, ben = await join("Ann"), await join("Ben")
    for body in (dinner(ben.email, title=""), dinner(ben.email, "no address"), dinner(ben.email, end=at(1, 18))):
        with pytest.raises(ApiError) as refused:
            await ann.call("POST", "/events", json=body)
        assert refused.value.status == 422
    event = await make(ann, ben.email)
    await until_told(event, ben=(ben, ["invitation"]))
    assert [item["event"]["id"] async for item in ben.items("/notifications")] == [event.id]
    assert [item["id"] async for item in ann.items("/events")] == [event.id]
