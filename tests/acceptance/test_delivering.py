"""What leaves Planner, from the request to a mail server: real processes, real queues."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from planner_local.client import Person, connect

from tests.smtp import Mail, Rule, Sink
from tests.system import System, until

pytestmark = pytest.mark.skipif("PLANNER_URL" in os.environ, reason="that system's mail server is not ours")

SETTINGS = {
    "MAIL_FROM": "Planner <planner@example.org>",
    "RETRY_BASE_SECONDS": "0.2",
    "RETRY_CAP_SECONDS": "0.5",
    "BREAKER_SECONDS": "0.5",
    "AUDIT_SECONDS": "0",
}
UNFINISHED = "SELECT count(*) FROM deliveries WHERE finished_at IS NULL"
numbers = count()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="planner-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[tuple[System, Sink]]:
    with (
        Sink(folder / "sink") as sink,
        System(
            folder, settings={**SETTINGS, "SMTP_URL": sink.url, "MAIL_FROM": "Planner <planner@example.org>"}
        ) as system,
    ):
        yield system, sink


@pytest.fixture
def system(running: tuple[System, Sink]) -> System:
    return running[0]


@pytest.fixture
def sink(running: tuple[System, Sink]) -> Iterator[Sink]:
    yield running[1]
    running[1].behave()


@pytest.fixture
async def ann(system: System) -> AsyncIterator[Person]:
    async with connect(system.url) as http:
        yield await Person(http, f"ann-{next(numbers)}@example.org", "Ann").register(
            locale="en", time_zone="Europe/Berlin"
        )


def dinner(*guests: str, starts_in: timedelta = timedelta(days=30), title: str = "Dinner") -> dict[str, Any]:
    start = datetime.now(UTC) + starts_in
    end = start + timedelta(hours=2)
    return {
        "title": title,
        "start": {"date_time": start.strftime("%Y-%m-%dT%H:%M:%S"), "time_zone": "UTC"},
        "end": {"date_time": end.strftime("%Y-%m-%dT%H:%M:%S"), "time_zone": "UTC"},
        "participants": [{"email": guest} for guest in guests],
    }


@pytest.fixture
def guest() -> str:
    return f"guest-{next(numbers)}@example.net"


@pytest.fixture
def mails_to(sink: Sink) -> Callable[[str, int], list[Mail]]:
    """The mails to an address, as soon as there are so many."""

    def mails_to(address: str, number: int) -> list[Mail]:
        def there() -> list[Mail]:
            return [mail for mail in sink.mails() if mail.recipients == [address]]

        until(lambda: len(there()) >= number, f"{number} mails to {address}")
        return there()

    return mails_to


def drained(system: System, seconds: float = 60) -> None:
    pending = f"SELECT (SELECT count(*) FROM changes WHERE fanned_out_at IS NULL) + ({UNFINISHED})"
    with system.connect() as connection:
        until(lambda: connection.execute(pending).fetchone() == (0,), "all deliveries are finished", seconds)


async def test_a_guest_is_written_to_and_may_end_it(
    system: System, ann: Person, guest: str, mails_to: Callable[[str, int], list[Mail]]
) -> None:
    created = await ann.call("POST", "/events", json=dinner(guest))
    event = created.json()
    [invitation] = mails_to(guest, 1)
    change = {"location": "The garden"}
    await ann.call("PATCH", f"/events/{event['id']}", json=change, headers={"If-Match": created.headers["ETag"]})
    _, update = mails_to(guest, 2)
    first, second = invitation.parsed(), update.parsed()
    assert (first.defects, second.defects) == ([], [])
    assert "Dinner" in str(first["Subject"])
    assert first["Message-ID"] != second["Message-ID"]
    assert first["In-Reply-To"] == second["In-Reply-To"]
    assert "The garden" in second.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    link = str(second["List-Unsubscribe"]).strip("<>")
    path = httpx.URL(link).path
    async with connect(system.url) as http:
        page = await http.get(path)
        assert page.headers["content-type"].startswith("text/html")
        await ann.call("POST", f"/events/{event['id']}/cancel")
        assert len(mails_to(guest, 3)) == 3  # to look at the page changed nothing
        one_click = await http.post(path, data={"List-Unsubscribe": "One-Click"})
        assert one_click.is_success
    await ann.call("POST", f"/events/{event['id']}/restore")
    drained(system)
    assert len(mails_to(guest, 3)) == 3
    said = (await ann.call("GET", f"/events/{event['id']}/deliveries")).json()["items"]
    assert len(said) >= 4
    assert system.faults() == (0, 0, 0)


async def test_a_server_that_refuses_a_fifth_gets_every_mail_once(system: System, sink: Sink, ann: Person) -> None:
    guests = [f"fifth-{number}@example.net" for number in range(300)]
    sink.behave(Rule("RCPT", "451 4.3.0 not now", share=0.2))
    await ann.call("POST", "/events", json=dinner(*guests))
    drained(system)
    received = Counter(mail.recipients[0] for mail in sink.mails() if mail.recipients[0].startswith("fifth-"))
    assert received == Counter(guests)
    with system.connect() as connection:
        failed = connection.execute("SELECT count(*) FROM delivery_attempts WHERE outcome = 'later'").fetchone()
        assert failed is not None
        assert failed[0] > 30


async def test_a_mass_mailing_delays_no_cancellation_of_what_is_about_to_start(
    system: System, sink: Sink, ann: Person, guest: str, mails_to: Callable[[str, int], list[Mail]]
) -> None:
    """Thousands of mails to a slow server fill their lane's queue. The urgent one does not wait for them."""
    many = 2_400
    mass = (await ann.call("POST", "/events", json=dinner(title="Assembly"))).json()["id"]
    soon = (await ann.call("POST", "/events", json=dinner(guest, starts_in=timedelta(minutes=30)))).json()["id"]
    mails_to(guest, 1)
    sink.behave(Rule("END", "wait 0.05"))
    everyone = {"participants": [{"email": f"mass-{number}@example.net"} for number in range(many)]}
    before = len(sink.mails())
    await ann.call("POST", f"/events/{mass}/participants", json=everyone)
    sink.wait(before + 50)
    ahead = len(sink.mails())
    await ann.call("POST", f"/events/{soon}/cancel")
    mails_to(guest, 2)
    with system.connect() as connection:
        unfinished = connection.execute(f"{UNFINISHED} AND lane = 2").fetchone()
        urgent = connection.execute("SELECT count(*) FROM deliveries WHERE lane = 0").fetchone()
    passed = len(sink.mails()) - ahead
    sink.behave()
    assert urgent is not None
    assert urgent[0] >= 1
    assert unfinished is not None
    assert unfinished[0] > many / 3  # they were far from done
    assert passed < many / 2
    drained(system)


async def test_a_mail_server_that_is_away_costs_time_only(
    system: System, sink: Sink, ann: Person, guest: str, mails_to: Callable[[str, int], list[Mail]]
) -> None:
    sink.kill()
    try:
        await ann.call("POST", "/events", json=dinner(guest))
        with system.connect() as connection:
            until(
                lambda: connection.execute("SELECT 1 FROM deliveries WHERE state = 'failed'").fetchone(),
                "a try has failed",
            )
    finally:
        sink.start()
    assert len(mails_to(guest, 1)) == 1
    drained(system)
