"""People, what they do when, and how they are asked."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.tests.conftest import Join, Person

MONDAY = "2031-05-05"
DAY = {"from": f"{MONDAY}T00:00:00Z", "to": "2031-05-06T00:00:00Z"}


@pytest.fixture
def carl(join: Join) -> Person:
    return join("Carl")


def at(hour: str, day: str = MONDAY, zone: str = "UTC") -> dict[str, str]:
    return {"date_time": f"{day}T{hour}:00", "time_zone": zone}


def hours(start: str, end: str, first: str = MONDAY, last: str | None = None) -> dict[str, Any]:
    return {"start": at(start, first), "end": at(end, last or first)}


Make = Callable[..., Awaitable[str]]


@pytest.fixture
def make() -> Make:
    """`event = await make(ann, hours("09:00", "10:00"), bob)`: an event of Ann's then, with Bob in it, who has not
    answered."""

    async def make(organizer: Person, when: dict[str, Any], *people: Person, **fields: Any) -> str:
        body = {"title": "A secret", "participants": [{"email": one.email} for one in people], **when, **fields}
        made = await organizer.post("/events", json=body)
        assert made.status_code == 201, made.text
        event: str = made.json()["id"]
        return event

    return make


async def respond(person: Person, event: str, response: str) -> None:
    answer = await person.put(f"/events/{event}/response", json={"response": response})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def meet(make: Make) -> Callable[..., Awaitable[str]]:
    """`await meet(ann, bob)`: Bob comes to an event of Ann's, in a month that nothing else is in."""

    async def meet(organizer: Person, *people: Person, response: str = "accepted") -> str:
        event = await make(organizer, hours("09:00", "10:00", "2031-01-06"), *people)
        for one in people:
            await respond(one, event, response)
        return event

    return meet


async def asked(caller: Person, *people: Person | str, **body: Any) -> list[dict[str, Any]]:
    """What the caller is answered, for each of them."""
    emails = [one if isinstance(one, str) else one.email for one in people]
    answer = await caller.post("/free-busy", json=DAY | {"people": emails} | body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["people"]
    return found


async def busy(caller: Person, person: Person, **body: Any) -> list[str]:
    """The intervals of one person, written as `05T09:00/05T10:00`, the tentative ones with a question mark."""
    [found] = await asked(caller, person, **body)
    assert found["state"] == "known"
    marks = {"BUSY": "", "BUSY-TENTATIVE": "?"}
    return [f"{one['starts_at'][8:16]}/{one['ends_at'][8:16]}{marks[one['type']]}" for one in found["busy"]]
