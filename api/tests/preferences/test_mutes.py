"""Events that somebody does not want to hear of."""

import asyncio
from uuid import uuid4

from planner_common.people import person_id

from api.tests.conftest import Join, Person

from .conftest import Kept

BOB = person_id("bob@example.org")


async def test_muting_and_unmuting_are_intervals(ann: Person, bob: Person, kept: Kept) -> None:
    event = kept.event(ann, BOB)
    for method in ("PUT", "PUT", "DELETE", "DELETE", "PUT"):
        answer = await bob.request(method, f"/events/{event}/mute")
        assert (answer.status_code, answer.content) == (204, b"")
    first, second = kept.mutes(BOB)
    assert (first.event_id, second.event_id) == (event, event)
    assert first.since < first.until < second.since
    assert second.until is None
    assert kept.mutes(ann.person_id) == []


async def test_the_organizer_may_mute_too(ann: Person, kept: Kept) -> None:
    event = kept.event(ann, BOB)
    assert (await ann.put(f"/events/{event}/mute")).status_code == 204
    assert len(kept.mutes(ann.person_id)) == 1


async def test_at_once_it_is_muted_once(bob: Person, ann: Person, kept: Kept) -> None:
    event = kept.event(ann, BOB)
    answers = await asyncio.gather(*(bob.put(f"/events/{event}/mute") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {204}
    assert len(kept.mutes(BOB)) == 1


async def test_a_foreign_event_is_not_there(ann: Person, bob: Person, join: Join, kept: Kept) -> None:
    carl = join("Carl")
    event = kept.event(ann, BOB)
    for method in ("PUT", "DELETE"):
        foreign = await carl.request(method, f"/events/{event}/mute")
        absent = await carl.request(method, f"/events/{uuid4()}/mute")
        assert foreign.status_code == absent.status_code == 404
        assert foreign.json()["detail"] == absent.json()["detail"]
        assert (await bob.client.request(method, f"/api/v1/events/{event}/mute")).status_code == 401
    assert kept.rows("SELECT * FROM mutes") == []


async def test_muted_events_are_listed_in_pages(ann: Person, bob: Person, kept: Kept) -> None:
    events = [kept.event(ann, BOB, title=title) for title in ("Breakfast", "Lunch", "Dinner")]
    for event in events:
        await bob.put(f"/events/{event}/mute")
    await ann.put(f"/events/{events[0]}/mute")
    first = (await bob.get("/me/mutes?limit=2")).json()
    assert [(item["event_id"], item["title"]) for item in first["items"]] == [
        (str(events[0]), "Breakfast"),
        (str(events[1]), "Lunch"),
    ]
    rest = (await bob.get("/me/mutes", params={"cursor": first["next_cursor"]})).json()
    assert [item["title"] for item in rest["items"]] == ["Dinner"]
    assert rest["next_cursor"] is None
    await bob.delete(f"/events/{events[2]}/mute")
    assert len((await bob.get("/me/mutes")).json()["items"]) == 2


async def test_who_has_left_sees_no_title_and_can_unmute(ann: Person, bob: Person, kept: Kept) -> None:
    event = kept.event(ann, BOB)
    await bob.put(f"/events/{event}/mute")
    kept.rows("UPDATE participants SET until_change = 9 RETURNING id")
    [muted] = (await bob.get("/me/mutes")).json()["items"]
    assert (muted["event_id"], muted["title"]) == (str(event), None)
    assert (await bob.put(f"/events/{event}/mute")).status_code == 404
    assert (await bob.delete(f"/events/{event}/mute")).status_code == 204
    assert (await bob.get("/me/mutes")).json() == {"items": [], "next_cursor": None}
    assert (await bob.delete(f"/events/{event}/mute")).status_code == 404
