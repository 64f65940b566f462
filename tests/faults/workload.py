"""The workload: many clients, each with its events, who write at a steady pace and note what they were told."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from planner_local.client import Person

from tests.faults.asking import Asker, Pace
from tests.faults.events import audience, crowd, dinner, listed, start_of, times
from tests.faults.writes import Book, Write

IMPATIENT = 0.05
"""Share of requests whose client goes away at the first doubt and never learns what came of them."""
ANSWERS = ("accepted", "declined", "tentative")
CROWDS_EVERY = 60.0
"""Seconds between events with a crowd."""
FIRST_CROWD_AFTER = 5.0


@dataclass
class Known:
    """What a client knows of its event."""

    id: str
    organizer: Person
    revision: int
    people: dict[str, str]
    """Who is in it, with their answers."""
    cancelled: bool = False
    lost: bool = False
    """Something has no answer: what the event is like now nobody knows, and the client leaves it alone."""

    def others(self) -> list[str]:
        return list(self.people)


@dataclass
class Client:
    """Makes an event, changes it some times, and turns to the next."""

    lots: Random
    organizers: Sequence[Person]
    accounts: dict[str, Person]
    asker: Asker
    book: Book
    pace: Pace
    over: Callable[[], bool]
    steps: dict[Callable[[Known], Awaitable[None]], int] = field(default_factory=dict)
    """How often each is taken."""

    def __post_init__(self) -> None:
        self.steps = {
            self.answers: 40,
            self.retitle: 14,
            self.move: 10,
            self.add: 10,
            self.remove: 6,
            self.cancel_or_restore: 10,
            self.mute: 1,
        }

    async def run(self) -> None:
        while not self.over():
            known = await self.create(audience(self.lots, self.accounts))
            if known is None:
                continue
            for _ in range(self.lots.randint(0, 6)):
                if known.lost or self.over():
                    break
                (step,) = self.lots.choices(list(self.steps), list(self.steps.values()))
                await step(known)
            if not known.lost and self.lots.random() < 0.2 and not self.over():
                await self.delete(known)

    def patient(self) -> bool:
        return self.lots.random() >= IMPATIENT

    async def write(
        self, known: Known, actor: Person, method: str, path: str, write: Write, **arguments: Any
    ) -> dict[str, Any] | None:
        """Ask for it and note the answer. Returns its body; None unless it was done."""
        await self.pace.turn()
        answer = await self.asker.ask(
            actor, method, f"/events/{known.id}{path}", write, patient=self.patient(), **arguments
        )
        if answer is None:
            known.lost = True
            return None
        gone = method == "DELETE" and answer.status == 404 and answer.doubtful  # an earlier try has done it
        if not (answer.is_success or gone):
            self.book.refused(write, answer.status)
            known.lost = answer.status not in (409, 412)
            return None
        revision = answer.body.get("revision")
        if method == "PATCH" and revision == known.revision:
            self.book.refused(write, answer.status)  # by chance it was so already, and nothing has changed
            return None
        if revision is None and method == "DELETE" and path == "":
            revision = known.revision + len(write.changes)
        self.book.acknowledged(write, revision=revision)
        known.revision = revision or known.revision
        return answer.body

    async def create(self, people: list[str]) -> Known | None:
        organizer = self.lots.choice(self.organizers)
        people = [person for person in people if person != organizer.email]
        await self.pace.turn()
        write = self.book.begin("creation", organizer.email, told=people)
        body = dinner(write.title, people, start_of(self.lots))
        answer = await self.asker.ask(organizer, "POST", "/events", write, patient=self.patient(), json=body)
        if answer is None:
            return None
        if not answer.is_success:
            self.book.refused(write, answer.status)
            return None
        self.book.acknowledged(write, event=answer.body["id"], revision=1)
        return Known(answer.body["id"], organizer, 1, dict.fromkeys(people, "needs_action"))

    def begin(self, known: Known, kind: str, told: Sequence[str], then: str | None = None) -> Write:
        return self.book.begin(kind, known.organizer.email, told=told, event=known.id, then=then)

    async def current(self, known: Known) -> None:
        """Learn the revision, which others' answers have raised."""
        write = Write("read", known.organizer.email, [], known.id)
        answer = await self.asker.ask(known.organizer, "GET", f"/events/{known.id}", write)
        if answer is None or not answer.is_success:
            known.lost = True
        else:
            known.revision = answer.body["revision"]

    async def change(self, known: Known, kind: str, body: dict[str, Any]) -> None:
        if known.cancelled:
            return
        write = self.begin(known, kind, known.others())
        headers = {"If-Match": f'"{known.revision}"'}
        await self.write(known, known.organizer, "PATCH", "", write, json=body, headers=headers)

    async def retitle(self, known: Known) -> None:
        await self.change(known, "update", {"title": f"Dinner {self.lots.getrandbits(48):x}"})

    async def move(self, known: Known) -> None:
        await self.change(known, "reschedule", dict(times(start_of(self.lots))))

    async def add(self, known: Known) -> None:
        new = [person for person in audience(self.lots, self.accounts)[:3] if person != known.organizer.email]
        told = [person for person in new if person not in known.people]
        if known.cancelled or not told:
            return
        write = self.begin(known, "invitation", told)
        body = {"participants": listed(new)}
        if await self.write(known, known.organizer, "POST", "/participants", write, json=body):
            known.people |= dict.fromkeys(told, "needs_action")

    async def remove(self, known: Known) -> None:
        if known.cancelled or not known.people:
            return
        look = Write("read", known.organizer.email, [], known.id)
        answer = await self.asker.ask(known.organizer, "GET", f"/events/{known.id}/participants", look)
        if answer is None or not answer.is_success:
            known.lost = True
            return
        one = self.lots.choice(answer.body["items"])
        write = self.begin(known, "removal", [one["email"]])
        path = f"/participants/{one['id']}"
        if await self.write(known, known.organizer, "DELETE", path, write) is not None:
            del known.people[one["email"]]
            known.revision += 1

    async def cancel_or_restore(self, known: Known) -> None:
        path, kind = ("/restore", "restoration") if known.cancelled else ("/cancel", "cancellation")
        write = self.begin(known, kind, known.others())
        if await self.write(known, known.organizer, "POST", path, write):
            known.cancelled = not known.cancelled

    async def delete(self, known: Known) -> None:
        if known.cancelled:
            write = self.begin(known, "deletion", [])
        else:
            write = self.begin(known, "cancellation", known.others(), then="deletion")
        headers = {"If-Match": f'"{known.revision}"'}
        await self.write(known, known.organizer, "DELETE", "", write, headers=headers)

    async def answers(self, known: Known) -> None:
        """Several answer at once, and the organizer may call it off amid that."""
        able = [person for person in known.people if person in self.accounts]
        if known.cancelled or not able:
            return
        those = self.lots.sample(able, self.lots.randint(1, len(able)))
        called_off = self.cancel_or_restore(known) if self.lots.random() < 0.1 else asyncio.sleep(0)
        await asyncio.gather(called_off, *(self.answer(known, self.accounts[person]) for person in those))
        if not known.lost:
            await self.current(known)

    async def answer(self, known: Known, person: Person) -> None:
        new = self.lots.choice([answer for answer in ANSWERS if answer != known.people[person.email]])
        write = self.book.begin("response", person.email, told=[known.organizer.email], event=known.id)
        if await self.write(known, person, "PUT", "/response", write, json={"response": new}) is not None:
            known.people[person.email] = new

    async def mute(self, known: Known) -> None:
        able = [person for person in known.people if person in self.accounts]
        if not able:
            return
        person = self.accounts[self.lots.choice(able)]
        await self.write(known, person, "PUT", "/mute", self.book.begin_mute(person.email, known.id))

    async def gather_crowds(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Now and then an event with a crowd; every other one is called off when its mails are on their way."""
        await sleep(FIRST_CROWD_AFTER)
        turn = 0
        while not self.over():
            known = await self.create([])
            if known is not None:
                write = self.begin(known, "invitation", crowd())
                added = await self.write(
                    known, known.organizer, "POST", "/participants", write, json={"participants": listed(crowd())}
                )
                if added and turn % 2:
                    known.people = dict.fromkeys(crowd(), "needs_action")
                    await sleep(CROWDS_EVERY / 10)
                    await self.cancel_or_restore(known)
            turn += 1
            await sleep(CROWDS_EVERY)
