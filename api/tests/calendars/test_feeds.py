"""Calendars to subscribe to."""

import re
import zlib
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from icalendar import Calendar
from planner_api.calendars import feeds, writing
from planner_common.settings import Settings
from sqlalchemy import Connection, text

from api.tests.conftest import app_with
from api.tests.events.test_calendars import OUTLOOK, calendar, component
from api.tests.events.test_import import taken

from .conftest import Subscribe, address_of, event_of

NEW_YORK = {"date_time": "2031-03-28T12:00:00", "time_zone": "America/New_York"}


def titles(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [str(event["SUMMARY"]) for event in Calendar.from_ical(answer.content).walk("VEVENT")]


async def test_an_address_is_made_listed_and_ended(
    ann: Any, bob: Any, client: httpx.AsyncClient, connection: Connection, settings: Settings
) -> None:
    made = await ann.post("/me/calendars", json={"name": "Phone"}, headers={"Idempotency-Key": "1"})
    assert made.status_code == 201
    calendar = made.json()
    url = calendar.pop("url")
    assert re.fullmatch(re.escape(settings.public_url) + r"/calendars/planner_cal_[A-Za-z0-9_-]{51}\.ics", url)
    assert made.headers["location"] == f"/api/v1/me/calendars/{calendar['id']}"
    again = await ann.post("/me/calendars", json={}, headers={"Idempotency-Key": "1"})
    assert (again.status_code, again.json()["name"]) == (201, "Planner")  # a secret is not kept to be repeated
    first = await ann.get("/me/calendars?limit=1")
    assert first.json()["items"] == [calendar]
    rest = await ann.get(f"/me/calendars?limit=1&cursor={first.json()['next_cursor']}")
    assert [one["id"] for one in rest.json()["items"]] == [again.json()["id"]]
    assert (await bob.get("/me/calendars")).json()["items"] == []
    kept = connection.execute(text("SELECT token_hash FROM calendars")).scalars().all()
    token = urlsplit(url).path.removeprefix("/calendars/").removesuffix(".ics")
    assert token.encode() not in b"".join(kept)

    path = f"/calendars/{token}.ics"
    assert (await client.get(path)).status_code == 200
    assert (await bob.delete(f"/me/calendars/{calendar['id']}")).status_code == 404
    assert (await ann.delete(f"/me/calendars/{calendar['id']}")).status_code == 204
    assert (await ann.delete(f"/me/calendars/{calendar['id']}")).status_code == 404
    answers = [await client.get(path), await client.get("/calendars/planner_cal_none.ics")]
    answers += [await client.get(f"/calendars/{again.json()['url'][-60:-4]}.ics"), await client.get("/calendars/é.ics")]
    assert {(answer.status_code, answer.json()["detail"]) for answer in answers} == {
        (404, "There is no such calendar, or it is not yours to see.")
    }


async def test_a_personal_token_may_not_make_one(ann: Any, client: httpx.AsyncClient) -> None:
    made = await ann.post("/me/tokens", json={"name": "program", "scopes": ["read", "write"]})
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await client.get("/api/v1/me/calendars", headers=headers)).status_code == 403
    assert (await client.post("/api/v1/me/calendars", json={}, headers=headers)).status_code == 403
    assert (await client.get("/api/v1/me/calendars")).status_code == 401


async def test_it_holds_what_its_owner_sees(ann: Any, bob: Any, carl: Any, subscribe: Subscribe) -> None:
    mine = await event_of(ann, "bob@example.org", title="Mine")
    await event_of(ann, title="Alone", start=NEW_YORK, end=NEW_YORK | {"date_time": "2031-03-28T13:00:00"})
    await event_of(bob, "ann@example.org", title="Bob's")
    await event_of(carl, "bob@example.org", title="Secret")
    deleted = await event_of(ann, "bob@example.org", title="Deleted")
    await ann.delete(f"/events/{deleted['id']}", headers={"If-Match": "*"})
    feed = await subscribe(ann, "Ann; at work")
    assert titles(feed) == ["Mine", "Bob's", "Alone"]
    assert feed.headers["content-type"] == "text/calendar; charset=utf-8"
    assert feed.headers["cache-control"] == "private, no-cache"
    read = Calendar.from_ical(feed.content)
    assert read["VERSION"] == "2.0"
    assert "NAME:Ann\\; at work\r\nX-WR-CALNAME:Ann\\; at work\r\n" in feed.text
    assert (read["REFRESH-INTERVAL"].to_ical(), read["X-PUBLISHED-TTL"]) == (b"PT1H", "PT1H")
    assert "METHOD" not in read
    assert [zone["TZID"] for zone in read.walk("VTIMEZONE")] == ["America/New_York", "Europe/Berlin"]
    [participant] = (await ann.get(f"/events/{mine['id']}/participants")).json()["items"]
    await ann.delete(f"/events/{mine['id']}/participants/{participant['id']}")
    assert titles(await subscribe(bob)) == ["Bob's", "Secret"]


async def test_what_is_cancelled_stays_for_a_while(ann: Any, subscribe: Subscribe, connection: Connection) -> None:
    event = await event_of(ann)
    await ann.post(f"/events/{event['id']}/cancel")
    [read] = Calendar.from_ical((await subscribe(ann)).content).walk("VEVENT")
    assert read["STATUS"] == "CANCELLED"
    connection.execute(text("UPDATE events SET updated_at = now() - interval '31 days'"))
    assert titles(await subscribe(ann)) == []
    assert (await ann.get(f"/events/{event['id']}.ics")).status_code == 200


async def test_comments_are_nobodys_business(ann: Any, bob: Any, carl: Any, subscribe: Subscribe) -> None:
    event = await event_of(ann, "bob@example.org", "carl@example.org")
    await bob.put(f"/events/{event['id']}/response", json={"response": "declined", "comment": "I am ill"})
    for reader in (ann, bob, carl):
        feed = (await subscribe(reader)).text.replace("\r\n ", "")
        assert "PARTSTAT=DECLINED:mailto:bob@example.org" in feed
        assert "ill" not in feed


async def test_of_a_crowd_it_names_the_reader_and_those_who_came_first(
    ann: Any, join: Any, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MAX_PEOPLE", 2)
    await event_of(ann, *(f"{name}@example.org" for name in ("a", "b", "c", "zoe")))
    feed = (await subscribe(join("Zoe"))).text.replace("\r\n ", "")
    assert re.findall("ATTENDEE.*mailto:(.*)\r", feed) == ["zoe@example.org", "a@example.org"]


async def test_two_people_may_have_the_same_file(ann: Any, bob: Any, subscribe: Subscribe) -> None:
    """Its UID is then twice in a calendar, which takes one event for the other: the reader's own keeps it."""
    file = calendar(component("SUMMARY:Ours", "ATTENDEE:mailto:ann@example.org", uid="same"))
    await taken(bob, file)
    await taken(ann, file)
    events = (await ann.get("/events")).json()["items"]
    foreign = next(event["id"] for event in events if event["organizer"]["name"] == "Bob")
    uids = {str(event["UID"]) for event in Calendar.from_ical((await subscribe(ann)).content).walk("VEVENT")}
    assert uids == {"same", foreign}


async def test_two_files_may_call_different_zones_the_same(ann: Any, subscribe: Subscribe) -> None:
    for number, zone in enumerate((OUTLOOK, OUTLOOK.replace("00\nEND", "30\nEND"), OUTLOOK)):
        event = component(uid=str(number), start=f"DTSTART;TZID=Eastern:2031032{number}T090000")
        await taken(ann, calendar(*zone.split("\n"), event))
    feed = await subscribe(ann)
    zones = [str(zone["TZID"]) for zone in Calendar.from_ical(feed.content).walk("VTIMEZONE")]
    assert zones == ["Eastern", "Eastern+"]
    starts = re.findall("DTSTART;TZID=(.*):2031", feed.text)
    assert starts == ["Eastern", "Eastern+", "Eastern"]


async def test_who_has_it_gets_it_not_again(
    ann: Any, bob: Any, client: httpx.AsyncClient, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await event_of(ann, "bob@example.org")
    path = await address_of(ann)
    fresh = await client.get(path)
    tags = [fresh.headers["etag"]]

    async def built(*_: Any) -> bytes:
        raise AssertionError("nobody needs it")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "file", built)
        unchanged = await client.get(path, headers={"If-None-Match": f'W/"other", W/{tags[0]}'})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tags[0])
        cached = await client.get(path)  # from the cache
        assert (cached.content, cached.headers["etag"]) == (fresh.content, tags[0])
        head = await client.head(path)
        assert (head.status_code, head.headers["etag"]) == (200, tags[0])

    for change in (
        ann.patch(f"/events/{event['id']}", json={"title": "Other"}, headers={"If-Match": "*"}),
        bob.put(f"/events/{event['id']}/response", json={"response": "accepted"}),
        ann.patch("/me", json={"name": "Anna"}),
        event_of(ann, title="Second"),
        event_of(bob, "ann@example.org"),
    ):
        await change
        answer = await client.get(path, headers={"If-None-Match": tags[-1]})
        assert answer.status_code == 200
        tags.append(answer.headers["etag"])
    assert len(set(tags)) == 6
    # Another name, and another person, who sees the same events.
    assert (await client.get(await address_of(ann, "Other"))).headers["etag"] not in tags
    connection.execute(text("UPDATE events SET revision = 1, updated_at = now()"))  # restored from a backup
    assert (await client.get(path)).headers["etag"] not in tags


async def test_readers_of_the_same_events_do_not_share_a_cache(ann: Any, bob: Any, subscribe: Subscribe) -> None:
    event = component("ATTENDEE:mailto:bob@example.org", "COMMENT:secret")
    await taken(ann, calendar(event))
    assert "secret" in (await subscribe(ann)).text
    assert "secret" not in (await subscribe(bob)).text


async def test_without_redis_it_is_made_each_time(ann: Any, app: FastAPI, subscribe: Subscribe, valkey: Any) -> None:
    await event_of(ann)
    valkey.stop()
    try:
        assert titles(await subscribe(ann)) == ["Retrospective"]
    finally:
        valkey.start()


async def test_what_is_large_is_not_cached(
    ann: Any, app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []

    async def put(_: str, value: bytes) -> None:
        kept.append(value)

    monkeypatch.setattr(app.state.cache, "put", put)
    path = await address_of(ann)
    small = await client.get(path)
    assert [zlib.decompress(value) for value in kept] == [small.content]
    monkeypatch.setattr("planner_api.routes.calendars.MAX_CACHED", 10)
    assert (await client.get(path)).content == small.content
    assert len(kept) == 1


async def test_it_holds_no_more_than_programs_take(
    ann: Any, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of too many events, those that begin last; likewise of those that are too long."""
    for month in (1, 2, 3):
        times = ({"date": f"2031-0{month}-{day}"} for day in (10, 11))
        await event_of(ann, title=f"Month {month}", **dict(zip(("start", "end"), times, strict=True)))
    for limited in (feeds.MINE_NOW.replace("LIMIT 10000", "LIMIT 2"), feeds.MINE_NOW.replace("30000000", "1100")):
        assert limited != feeds.MINE_NOW
        monkeypatch.setattr(feeds, "ALL_OF_MINE", text(feeds.EVENTS.format(chosen=limited)))
        monkeypatch.setattr(feeds, "MY_VERSION", text(limited + feeds.VERSION))
        assert titles(await subscribe(ann)) == ["Month 2", "Month 3"]


async def test_requests_are_counted_by_address(settings: Settings, join: Any) -> None:
    """Also of somebody who happens to be logged in: the address is what guesses come from."""
    app = app_with(settings.model_copy(update={"rate_limit": "2/minute"}))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://planner.example") as client:
            person = join("Eve")
            statuses = [
                (await client.get("/calendars/none.ics", headers=headers)).status_code
                for headers in (person.authorization, {}, person.authorization)
            ]
    assert statuses == [404, 404, 429]
