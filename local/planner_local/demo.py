"""`make demo`: people, a calendar, and what they are told of it, over the API as any client would use it."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from planner_common import audit
from planner_common.audit import DUE, Findings
from planner_common.database import make_engine
from planner_common.deliveries import State
from planner_common.people import person_id
from planner_common.settings import Settings
from pydantic import SecretStr
from rich.console import Console
from sqlalchemy import Engine, text

from planner_local import report
from planner_local.client import ApiError, Person, connect
from planner_local.state import Addresses
from planner_local.watch import Inbox, QueueWatch

ORGANIZER, GUESTS = "Ann", ("Ben", "Cleo", "Dana", "Eli")
CHANGED = 3
"""How many events are answered, and moved, and cancelled."""
IMPORT_SECONDS = 300
PATIENCE = 60
"""Seconds without any progress after which what is still missing counts as missing."""


@dataclass
class Story:
    """What was done, and when: the request that caused a notification is found by the event and the kind."""

    imported: dict[str, Any] = field(default_factory=dict)
    import_sent: float = 0
    import_took: float = 0
    sent: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    answers: int = 0
    moved: int = 0
    cancelled: int = 0

    def did(self, event_id: str, kind: str) -> None:
        """Note that a request is sent now."""
        self.sent.setdefault((event_id, kind), []).append(time.perf_counter())

    def causes(self, event_id: str, kind: str, number: int) -> list[float]:
        """When the requests were sent that `number` notifications in a row came of: the import, then what followed."""
        return ([self.import_sent] * number + self.sent.get((event_id, kind), []))[-number:]


def read_calendar(path: Path) -> bytes:
    """The file's content, as it is: what is wrong inside is for the API to say. Raises OSError."""
    return path.read_bytes()


async def demonstrate(console: Console, addresses: Addresses, folder: Path, *, name: str, calendar: bytes) -> int:
    """Tell the story and print it. Returns 0 only if every notification that is due is where it belongs, once."""
    engine = make_engine(
        Settings(database_url=SecretStr((folder / "secrets" / "database_url").read_text())), "planner-demo"
    )
    try:
        async with connect(addresses.api) as http:
            return await _demonstrate(console, http, engine, addresses, name=name, calendar=calendar)
    except (ApiError, httpx.HTTPError) as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    finally:
        engine.dispose()


async def _demonstrate(
    console: Console, http: httpx.AsyncClient, engine: Engine, addresses: Addresses, *, name: str, calendar: bytes
) -> int:
    people = await register(http)
    organizer, *guests = people
    console.print(f"{len(people)} people registered: {organizer.name}, who invites, and {report.names(guests)}")
    async with AsyncExitStack() as watching:
        inboxes = [await watching.enter_async_context(Inbox(person)) for person in people]
        queue = await watching.enter_async_context(QueueWatch(addresses.exporter))
        console.print(f"{len(inboxes)} live streams open; importing {name} …", markup=False)
        story = Story()
        await import_calendar(story, organizer, guests, calendar)
        report.imported(console, story.imported, story.import_took)
        await make_changes(story, organizer, guests)
        console.print(f"then {story.answers} answers, {story.moved} events moved, {story.cancelled} cancelled")
        due = await arrivals(engine, inboxes)
        queue.finish()
        told = [await inbox.read() for inbox in inboxes]
        mails = await deliveries(engine, inboxes)
    found = await asyncio.to_thread(_audit, engine)
    report.latencies(console, story.causes, inboxes)
    report.queue(console, queue, story.import_sent)
    report.mails(console, mails, addresses.mail)
    faults = [
        fault
        for inbox, due_here, in_inbox in zip(inboxes, due, told, strict=True)
        for fault in inbox.faults(due_here, in_inbox)
    ]
    invited = sum(inbox.count("invitation") for inbox in inboxes)
    if invited != story.imported["created"] * len(guests):
        faults.append(f"{invited} invitations for {story.imported['created']} events and {len(guests)} guests")
    if left := sum(number for state, number in mails.items() if state not in (State.SENT, State.SUPERSEDED)):
        faults.append(f"{left} mails were not sent")
    return report.verdict(console, found, sum(map(len, told)), faults)


async def register(http: httpx.AsyncClient) -> list[Person]:
    run = secrets.token_hex(4)
    people = [Person(http, f"{name.lower()}.{run}@example.org", name) for name in (ORGANIZER, *GUESTS)]
    for person in people:  # one by one: hashing a password keeps a processor busy
        await person.register(time_zone="Europe/Berlin")
    return people


async def import_calendar(story: Story, organizer: Person, guests: list[Person], calendar: bytes) -> None:
    story.import_sent = time.perf_counter()
    answer = await organizer.call(
        "POST",
        "/events/import",
        params={"notify": "all", "invite": [guest.email for guest in guests]},
        content=calendar,
        headers={"Content-Type": "text/calendar"},
        timeout=IMPORT_SECONDS,
    )
    story.import_took = time.perf_counter() - story.import_sent
    story.imported = answer.json()


async def make_changes(story: Story, organizer: Person, guests: list[Person]) -> None:
    """Answer, move and cancel a few of the events: different ones, if there are that many."""
    events = [event async for event in organizer.items("/events", role="organizer") if event["status"] != "cancelled"]
    for event in events[:CHANGED]:
        for guest in guests:
            story.did(event["id"], "response")
            await guest.call("PUT", f"/events/{event['id']}/response", json={"response": "accepted"})
            story.answers += 1
    for event in events[-CHANGED:]:
        now = (await organizer.call("GET", f"/events/{event['id']}")).json()
        moved = {"start": a_day_later(now["start"]), "end": a_day_later(now["end"])}
        if now["start"] == now["end"]:  # calendars have moments; what comes over the API lasts
            moved["end"] = a_day_later(moved["end"])
        story.did(event["id"], "reschedule")
        match = {"If-Match": f'"{now["revision"]}"'}
        await organizer.call("PATCH", f"/events/{event['id']}", json=moved, headers=match)
        story.moved += 1
    for event in events[CHANGED // 2 :][:CHANGED]:
        story.did(event["id"], "cancellation")
        await organizer.call("POST", f"/events/{event['id']}/cancel")
        story.cancelled += 1


def a_day_later(moment: dict[str, str]) -> dict[str, str]:
    """A time of an event, as the API writes it, on the next day."""
    day = timedelta(days=1)
    if "date" in moment:
        return {"date": (date.fromisoformat(moment["date"]) + day).isoformat()}
    return {**moment, "date_time": (datetime.fromisoformat(moment["date_time"]) + day).isoformat()}


async def arrivals(engine: Engine, inboxes: list[Inbox]) -> list[int]:
    """Wait until everything due has come over the live streams, or nothing comes any more. Returns what is due."""
    ids = [person_id(inbox.person.email) for inbox in inboxes]
    seen, patient_until = -1, time.monotonic() + PATIENCE
    while True:
        pending, due = await asyncio.to_thread(_due, engine, ids)
        there = [len(inbox.arrived) for inbox in inboxes]
        complete = all(number >= wanted for number, wanted in zip(there, due, strict=True))
        if (not pending and complete) or time.monotonic() > patient_until:
            return due
        if sum(there) - pending != seen:
            seen, patient_until = sum(there) - pending, time.monotonic() + PATIENCE
        await asyncio.sleep(0.1)


def _due(engine: Engine, ids: list[UUID]) -> tuple[int, list[int]]:
    """Changes still pending, and how many notifications are due to each person by the auditor's reckoning."""
    mine = text(f"SELECT person_id, count(*) FROM ({DUE}) due WHERE person_id = ANY(:ids) GROUP BY person_id")
    with engine.connect() as connection:
        pending = audit.pending(connection)[0]
        values = {"since": "-infinity", "event": None, "ids": ids}
        numbers = {row[0]: row[1] for row in connection.execute(mine, values)}
    return pending, [numbers.get(person, 0) for person in ids]


async def deliveries(engine: Engine, inboxes: list[Inbox]) -> dict[str, int]:
    """Wait until what goes to these people beside the inbox has gone, or nothing goes any more. Returns it by state."""
    ids = [person_id(inbox.person.email) for inbox in inboxes]
    before: dict[str, int] | None = None
    patient_until = time.monotonic() + PATIENCE
    while True:
        states = await asyncio.to_thread(_states, engine, ids)
        if not states.keys() & {State.PENDING, State.FAILED} or time.monotonic() > patient_until:
            return states
        if states != before:
            before, patient_until = states, time.monotonic() + PATIENCE
        await asyncio.sleep(0.1)


def _states(engine: Engine, ids: list[UUID]) -> dict[str, int]:
    theirs = text("SELECT state, count(*) FROM deliveries WHERE person_id = ANY(:ids) GROUP BY state")
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(theirs, {"ids": ids})}


def _audit(engine: Engine) -> Findings:
    """At a moment when nothing is pending: others, the canary among them, may make changes too."""
    patient_until = time.monotonic() + PATIENCE
    while True:
        with engine.connect() as connection:
            found = audit.audit(connection)
        if not found.pending or time.monotonic() > patient_until:
            return found
        time.sleep(0.1)
