"""What the clients of the workload make: events of many sizes, and who is in them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.faults.faults import REFUSED

GUESTS = 2_500
"""People without an account, known by address alone."""
SIZES = ((0.55, 1, 3), (0.85, 3, 8), (0.98, 8, 20), (1.0, 20, 50))
"""Up to which lot an audience is from how many to how many."""
CROWD = 2_000
SOON = 0.1
"""Share of events that start within the hour."""
NOBODY = 0.01
"""Share of events with somebody whose mail is refused."""


def guest(number: int) -> str:
    return f"guest-{number}@example.net"


def crowd() -> list[str]:
    return [guest(number) for number in range(CROWD)]


def audience(lots: Random, accounts: Iterable[str]) -> list[str]:
    """Addresses: some with an account, most without, some twice as likely to answer."""
    lot = lots.random()
    _, least, most = next(size for size in SIZES if lot <= size[0])
    number = lots.randint(least, most)
    known = lots.sample(sorted(accounts), min(number, lots.randint(1, 4)))
    people = known + [guest(one) for one in lots.sample(range(GUESTS), number - len(known))]
    return people + ([lots.choice(REFUSED)] if lots.random() < NOBODY else [])


def dinner(title: str, people: Iterable[str], start: datetime | None = None) -> dict[str, Any]:
    """The body of a new event."""
    return {"title": title, **times(start or datetime(2030, 5, 1, 19, tzinfo=UTC)), "participants": listed(people)}


def listed(people: Iterable[str]) -> list[dict[str, str]]:
    return [{"email": person} for person in people]


def times(start: datetime) -> dict[str, Any]:
    def at(moment: datetime) -> dict[str, str]:
        return {"date_time": moment.strftime("%Y-%m-%dT%H:%M:%S"), "time_zone": "UTC"}

    return {"start": at(start), "end": at(start + timedelta(hours=3))}


def start_of(lots: Random) -> datetime:
    if lots.random() < SOON:
        return datetime.now(UTC) + timedelta(minutes=lots.randint(20, 50))
    return datetime(2030, 1, 1, 9, tzinfo=UTC) + timedelta(hours=lots.randint(0, 2_000))
