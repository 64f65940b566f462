"""Files that were taken in come back as they were, and coming back changes nothing."""

from typing import Any

import pytest

from api.tests.events.test_import import REAL, take, taken

from .conftest import Subscribe
from .equivalence import said

FILES = [(path.name, path.read_bytes()) for path in sorted(REAL.glob("*.ics"))]
BROKEN = [(path.name, path.read_bytes()) for path in sorted(REAL.glob("broken/*.ics"))]
beside = pytest.mark.skipif(not FILES, reason="the collection of calendars is not beside the checkout")


@beside
async def test_calendars_that_people_wrote(join: Any, subscribe: Subscribe, subtests: pytest.Subtests) -> None:
    for number, (name, content) in enumerate(FILES):
        with subtests.test(name):
            await gives_back(join(f"Reader{number}"), content, subscribe)


async def gives_back(reader: Any, content: bytes, subscribe: Subscribe) -> None:
    imported = await take(reader, content)
    refused = {failure["uid"] for failure in imported.json()["failed"]}
    feed = (await subscribe(reader)).content
    got = said(feed)
    expected = {key: event for key, event in said(content).items() if key[0] not in refused}
    assert got.keys() == expected.keys()
    for key, event in expected.items():
        assert got[key] == event, key
    if not (number := len({uid for uid, _ in expected})):
        return
    assert await taken(reader, feed) == (0, 0, number, 0)
    for event in (await reader.get("/events?limit=5")).json()["items"]:
        one = await reader.get(f"/events/{event['id']}.ics")
        assert said(one.content).items() <= got.items()
        assert await taken(reader, one.content) == (0, 0, 1, 0)


@beside
async def test_what_is_broken_comes_back_whole(join: Any, subscribe: Subscribe, subtests: pytest.Subtests) -> None:
    """What could be made sense of can then be read by programs that are strict, and is still the same."""
    for number, (name, content) in enumerate(BROKEN):
        with subtests.test(name):
            reader = join(f"Reader{number}")
            imported = await take(reader, content)
            created = imported.json().get("created")
            if not created:
                continue
            feed = (await subscribe(reader)).content
            assert len({uid for uid, _ in said(feed)}) == created
            assert await taken(reader, feed) == (0, 0, created, 0)
