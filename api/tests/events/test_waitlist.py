"""The waitlist: who comes to a full event waits, and who has waited longest has the place that becomes free."""

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from planner_common.audit import audit
from planner_common.people import person_id
from sqlalchemy import Connection, text

from common.tests.delivered import fan_out

from .conftest import Log, Make, login

ANN, BOB, CARL = (f"{name}@example.org" for name in ("ann", "bob", "carl"))
YES, NO, PERHAPS, NOTHING = (
    {"json": {"response": response}} for response in ("accepted", "declined", "tentative", "needs_action")
)
ANY = {"If-Match": "*"}


@pytest.fixture
async def event(bob: Any, carl: Any, make: Make) -> dict[str, Any]:
    """Of Ann's: Bob has the only place, Carl waits."""
    made = await make(BOB, CARL, capacity=1)
    for person in (bob, carl):
        assert (await person.put(f"/events/{made['id']}/response", **YES)).status_code == 200
    return made


@pytest.fixture
def path(event: dict[str, Any]) -> str:
    return f"/events/{event['id']}"


async def people(person: Any, path: str) -> dict[str, tuple[str, int | None]]:
    """What everybody has answered, and where in the list they wait, as a person sees it."""
    items = (await person.get(f"{path}/participants?limit=200")).json()["items"]
    return {item["email"]: (item["response"], item["waiting"]) for item in items}


async def test_who_accepts_when_all_places_are_taken_waits(ann: Any, bob: Any, carl: Any, make: Make, log: Log) -> None:
    event = await make(BOB, CARL, capacity=1)
    path = f"/events/{event['id']}"
    seated, waits = await bob.put(f"{path}/response", **YES), await carl.put(f"{path}/response", **YES)
    assert (seated.status_code, waits.status_code) == (200, 200)
    assert (seated.json()["response"], seated.json()["waiting"]) == ("accepted", None)
    assert (waits.json()["response"], waits.json()["waiting"]) == ("tentative", 1)
    assert waits.json()["responded_at"] is not None
    assert await people(bob, path) == {BOB: ("accepted", None), CARL: ("tentative", 1)}
    seen = (await ann.get(path)).json()
    assert seen["counts"] == {"needs_action": 0, "accepted": 1, "declined": 0, "tentative": 0, "waiting": 1}
    assert (seen["revision"], (await carl.get(path)).json()["my_response"]) == (3, "tentative")
    change = log.of(event["id"])[-1]
    assert (change.kind, change.diff) == (
        "response", {"response": ["needs_action", "tentative"], "waiting": [False, True]}
    )  # fmt: skip
    assert log.told(event["id"], ANN)[-1] == ("response", {ANN})


async def test_to_accept_again_changes_nothing_and_a_comment_keeps_the_place(
    carl: Any, event: dict[str, Any], path: str, log: Log
) -> None:
    assert (await carl.put(f"{path}/response", **YES)).json()["waiting"] == 1
    assert log.kinds(event["id"]) == ["creation", "response", "response"]
    since = "SELECT waiting_since FROM participants WHERE person_id = :carl"
    before = log.connection.scalar(text(since), {"carl": person_id(CARL)})
    said = await carl.put(f"{path}/response", json={"response": "accepted", "comment": "Please!"})
    assert (said.json()["response"], said.json()["waiting"], said.json()["comment"]) == ("tentative", 1, "Please!")
    assert log.connection.scalar(text(since), {"carl": person_id(CARL)}) == before
    assert log.of(event["id"])[-1].diff == {
        "response": ["tentative", "tentative"], "waiting": [True, True], "comment": [None, "Please!"],
    }  # fmt: skip


@pytest.mark.parametrize("answer", [NO, PERHAPS, NOTHING])
async def test_the_place_of_who_does_not_come_goes_to_who_waited_longest(
    ann: Any, bob: Any, carl: Any, event: dict[str, Any], path: str, log: Log, answer: dict[str, Any]
) -> None:
    await bob.put(f"{path}/response", **answer)
    given_up = answer["json"]["response"]
    assert await people(ann, path) == {BOB: (given_up, None), CARL: ("accepted", None)}
    assert (await carl.get(path)).json()["my_response"] == "accepted"
    left, given = log.of(event["id"])[-2:]
    assert (left.kind, left.diff) == ("response", {"response": ["accepted", given_up], "promoted": [None, CARL]})
    assert (given.kind, given.actor, given.audience_size, given.notify) == ("promotion", None, 1, True)
    assert given.diff == {
        "response": ["tentative", "accepted"], "waiting": [True, False], "participants": {"promoted": 1},
    }  # fmt: skip
    assert log.told(event["id"], ANN, BOB, CARL)[-2:] == [("response", {ANN}), ("promotion", {CARL})]
    seen = (await ann.get(path)).json()
    assert (seen["revision"], seen["counts"]["accepted"], seen["counts"]["waiting"]) == (given.revision, 1, 0)


async def test_who_comes_back_is_the_last_of_those_who_wait(ann: Any, bob: Any, carl: Any, path: str) -> None:
    await bob.put(f"{path}/response", **NO)
    await bob.put(f"{path}/response", **YES)
    assert await people(ann, path) == {BOB: ("tentative", 1), CARL: ("accepted", None)}
    await carl.put(f"{path}/response", **NO)
    assert await people(ann, path) == {BOB: ("accepted", None), CARL: ("declined", None)}


@pytest.mark.parametrize("answer", [NO, PERHAPS, NOTHING])
async def test_who_waits_may_change_their_mind(
    ann: Any, carl: Any, event: dict[str, Any], path: str, log: Log, answer: dict[str, Any]
) -> None:
    said = (await carl.put(f"{path}/response", **answer)).json()
    assert (said["response"], said["waiting"]) == (answer["json"]["response"], None)
    change = log.of(event["id"])[-1]
    assert (change.kind, change.diff["waiting"]) == ("response", [True, False])
    assert (await ann.get(path)).json()["counts"]["waiting"] == 0


async def test_the_place_of_who_is_taken_out_is_given_away_and_a_place_in_the_list_is_not(
    ann: Any, event: dict[str, Any], path: str, log: Log, app: Any, client: Any, connection: Connection
) -> None:
    for name in ("dora", "eve"):
        await ann.post(f"{path}/participants", json={"participants": [{"email": f"{name}@example.org"}]})
        headers = login(app, connection, f"{name}@example.org")
        await client.put(f"/api/v1{path}/response", headers=headers, **YES)
    ids = {item["email"]: item["id"] for item in (await ann.get(f"{path}/participants")).json()["items"]}
    assert (await ann.delete(f"{path}/participants/{ids[CARL]}")).status_code == 204
    assert log.kinds(event["id"])[-1] == "removal"
    assert await people(ann, path) == {
        BOB: ("accepted", None), "dora@example.org": ("tentative", 1), "eve@example.org": ("tentative", 2),
    }  # fmt: skip
    assert (await ann.delete(f"{path}/participants/{ids[BOB]}?notify=none")).status_code == 204
    assert log.kinds(event["id"])[-2:] == ["removal", "promotion"]
    assert log.told(event["id"], "dora@example.org")[-2:] == [("removal", set()), ("promotion", {"dora@example.org"})]
    assert await people(ann, path) == {"dora@example.org": ("accepted", None), "eve@example.org": ("tentative", 1)}


@pytest.mark.parametrize(("capacity", "seated"), [(2, 2), (3, 3), (None, 4), (1, 1)])
async def test_more_places_are_given_to_those_who_wait_in_one_change(
    ann: Any, make: Make, app: Any, client: Any, connection: Connection, log: Log, capacity: int | None, seated: int
) -> None:
    emails = [f"person{number}@example.org" for number in range(4)]
    event = await make(*emails, capacity=1)
    path = f"/events/{event['id']}"
    for email in emails:
        await client.put(f"/api/v1{path}/response", headers=login(app, connection, email), **YES)
    changed = await ann.patch(f"{path}?notify=none", json={"capacity": capacity, "title": "More"}, headers=ANY)
    counts = changed.json()["counts"]
    assert (counts["accepted"], counts["waiting"]) == (seated, 4 - seated)
    assert changed.headers["ETag"] == f'"{log.of(event["id"])[-1].revision}"'
    found = await people(ann, path)
    assert [found[email] for email in emails[:seated]] == [("accepted", None)] * seated
    assert [found[email][1] for email in emails[seated:]] == list(range(1, 5 - seated))
    if seated > 1:
        assert log.told(event["id"], *emails)[-2:] == [("update", set()), ("promotion", set(emails[1:seated]))]
        assert log.of(event["id"])[-1].audience_size == seated - 1
    else:
        assert log.kinds(event["id"])[-1] == "update"


async def test_no_place_is_taken_away(ann: Any, bob: Any, carl: Any, event: dict[str, Any], path: str) -> None:
    await ann.patch(path, json={"capacity": 2}, headers=ANY)
    less = await ann.patch(path, json={"capacity": 1}, headers=ANY)
    assert (less.status_code, less.json()["type"]) == (409, "/problems/full")
    assert await people(bob, path) == {BOB: ("accepted", None), CARL: ("accepted", None)}


async def test_a_promotion_is_in_the_history_of_those_whom_it_concerns(
    ann: Any, bob: Any, carl: Any, path: str
) -> None:
    await bob.put(f"{path}/response", **NO)
    kinds = {
        person.email: [change["kind"] for change in (await person.get(f"{path}/history")).json()["items"]]
        for person in (ann, bob, carl)
    }
    assert kinds == {
        ANN: ["creation", "response", "response", "response", "promotion"],
        BOB: ["creation", "response", "response"],
        CARL: ["creation", "response", "promotion"],
    }
    assert (await carl.get(f"{path}/history")).json()["items"][-1]["actor"] is None


async def test_it_is_said_to_whom_it_concerns_and_explained(
    ann: Any, bob: Any, carl: Any, path: str, connection: Connection
) -> None:
    await carl.patch("/me", json={"locale": "ru"})
    await bob.put(f"{path}/response", **NO)
    fan_out(connection, email_on=True)
    assert audit(connection).ok
    connection.rollback()
    inboxes = [(await person.get("/notifications")).json()["items"] for person in (ann, bob, carl)]
    assert [item["summary"] for item in inboxes[0][:2]] == [
        "Bob declined “Retrospective”. The place goes to carl@example.org.",
        "Carl accepted “Retrospective”, which is full, and waits for a place.",
    ]
    assert [item["kind"] for item in inboxes[1]] == ["invitation"]
    promotion, invitation = inboxes[2]
    assert (promotion["kind"], invitation["kind"]) == ("update", "invitation")
    assert promotion["summary"].startswith("Освободилось место, и оно ваше: вы участвуете в событии «Retrospective»")
    assert promotion["data"] == {"response": ["tentative", "accepted"], "waiting": [True, False]}
    explained = (await carl.get(f"/notifications/{promotion['id']}/explain")).json()
    assert explained["why"]["reason"] == "promoted"
    told = (await ann.get(f"{path}/deliveries?revision={promotion['revision']}")).json()["items"]
    assert [(item["person"]["email"], item["kind"]) for item in told] == [(CARL, "update")]
    assert [delivery["type"] for delivery in told[0]["deliveries"]] == ["email"]


async def test_a_rehearsal_says_who_would_have_the_place(ann: Any, bob: Any, path: str, log: Log) -> None:
    before = log.count()
    preview = (await bob.put(f"{path}/response?dry_run=true", **NO)).json()
    assert [change["kind"] for change in preview["changes"]] == ["response", "promotion"]
    assert [(told["person"]["email"], told["kind"]) for told in preview["told"]] == [
        (ANN, "response"),
        (CARL, "update"),
    ]
    assert (log.count(), await people(ann, path)) == (before, {BOB: ("accepted", None), CARL: ("tentative", 1)})


async def test_two_hundred_at_once(
    ann: Any, client: Any, make: Make, log: Log, app: Any, connection: Connection
) -> None:
    """200 accept at once, for 40 places. Then all answer anew, or are taken out, or the places become more: all at
    once, too. There are never too many, no place is free while somebody waits, and everybody is told once."""
    emails = [f"person{number}@example.org" for number in range(200)]
    event = await make(*emails, capacity=40)
    path = f"/events/{event['id']}"
    headers = {email: login(app, connection, email) for email in emails}

    async def sent(*request: str, **arguments: Any) -> Any:
        while True:  # who waits for a connection of the pool for too long is told to come again
            answer = await client.request(*request, **arguments)
            if answer.status_code != 503:
                return answer

    async def answer(email: str, response: str) -> Any:
        return await sent("PUT", f"/api/v1{path}/response", headers=headers[email], json={"response": response})

    given = await asyncio.gather(*(answer(email, "accepted") for email in emails))
    assert {each.status_code for each in given} == {200}
    assert sum(each.json()["response"] == "accepted" for each in given) == 40
    assert sorted(each.json()["waiting"] for each in given if each.json()["waiting"]) == list(range(1, 161))

    choose = random.Random(5545)  # noqa: S311  # the same each time
    ids = {item["email"]: item["id"] for item in (await ann.get(f"{path}/participants?limit=200")).json()["items"]}
    gone = set(choose.sample(emails, 20))

    async def act(email: str) -> Any:
        if email in gone:
            return await sent("DELETE", f"/api/v1{path}/participants/{ids[email]}", headers=ann.authorization)
        return await answer(email, choose.choice(["accepted", "declined", "tentative"]))

    acts = [act(email) for email in emails]
    acts.insert(100, sent("PATCH", f"/api/v1{path}", json={"capacity": 45}, headers=ann.authorization | ANY))
    done = await asyncio.gather(*acts)
    assert {each.status_code for each in done} <= {200, 204}, [each.text for each in done if each.is_error]
    places = replayed(connection, event["id"], 40)
    assert (places.wrong, places.capacity, len(places.seated)) == ([], 45, 45)
    assert places.waiting

    fan_out(connection, email_on=True)
    found = audit(connection)
    assert (found.ok, found.changes) == (True, log.count()), found.named


@dataclass
class Places:
    """Who has a place, and who waits for one in which order, by the log alone."""

    capacity: int
    seated: set[UUID] = field(default_factory=set)
    waiting: list[UUID] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def follow(self, change: Any) -> None:
        self.capacity = change.diff.get("capacity", [None, self.capacity])[1]
        for person in change.removed:
            self._leave(person)
        if change.kind == "response":
            self._leave(change.actor)
            if change.diff["response"][1] == "accepted":
                self.seated.add(change.actor)
            elif "waiting" in change.diff and change.diff["waiting"][1]:
                self.waiting.append(change.actor)
        elif change.kind == "promotion":
            first = self.waiting[: len(change.promoted)]
            if set(change.promoted) != set(first):
                self.wrong.append(f"revision {change.revision} passes over somebody")
            for person in change.promoted:
                self._leave(person)
                self.seated.add(person)

    def check(self, revision: int, *, settled: bool) -> None:
        """Whether all is well after a revision; `settled`: the next one gives no places to those who wait."""
        if len(self.seated) > self.capacity:
            self.wrong.append(f"revision {revision}: {len(self.seated)} have {self.capacity} places")
        if settled and self.waiting and len(self.seated) < self.capacity:
            self.wrong.append(f"revision {revision}: {len(self.waiting)} wait, and places are free")

    def _leave(self, person: UUID) -> None:
        self.seated.discard(person)
        self.waiting = [each for each in self.waiting if each != person]


def replayed(connection: Connection, event: str, capacity: int) -> Places:
    """The log of an event, checked revision by revision, and compared with the participants as they are."""
    log = text("""
        SELECT c.revision, c.kind, c.diff, c.actor,
               ARRAY(SELECT p.person_id FROM promotions p WHERE p.change_id = c.id) AS promoted,
               ARRAY(SELECT p.person_id FROM participants p WHERE p.until_change = c.id) AS removed
          FROM changes c WHERE c.event_id = :event ORDER BY c.revision
    """)
    changes = connection.execute(log, {"event": UUID(event)}).all()
    places = Places(capacity)
    for change, following in pairwise([*changes, None]):
        places.follow(change)
        places.check(change.revision, settled=following is None or following.kind != "promotion")
    now = text("""
        SELECT person_id, waiting_since FROM participants
         WHERE event_id = :event AND until_change IS NULL AND (response = 'accepted' OR waiting_since IS NOT NULL)
         ORDER BY waiting_since
    """)
    rows = connection.execute(now, {"event": UUID(event)}).all()
    assert {row.person_id for row in rows if row.waiting_since is None} == places.seated
    assert [row.person_id for row in rows if row.waiting_since is not None] == places.waiting
    return places
