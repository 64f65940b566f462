import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from planner_api import sse, stream
from planner_api.routes import notifications
from planner_api.stream import QUEUE_LENGTH, Streams, Subscription
from planner_common import metrics
from sqlalchemy import Connection, text

SECONDS = 20
LISTENER = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'planner-api-streams' AND datname = current_database()"
)


@pytest.fixture
def streams(server: Any) -> Streams:
    streams: Streams = server.app.state.streams
    return streams


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  # nothing that could be awaited
            await asyncio.sleep(0.01)


class Client:
    """A person's live stream, as a client sees it."""

    def __init__(self, events: AsyncIterator[ServerSentEvent], response: httpx.Response) -> None:
        self.events = events
        self.response = response
        self.last: UUID | None = None

    async def next(self, seconds: float = SECONDS) -> ServerSentEvent:
        async with asyncio.timeout(seconds):
            while True:
                event = await anext(self.events)
                self.last = UUID(event.id) if event.id else None
                if event.data:
                    return event

    async def ids(self, number: int) -> list[UUID]:
        return [UUID((await self.next()).id) for _ in range(number)]

    async def rest(self) -> list[UUID]:
        """What still comes until the stream ends."""
        async with asyncio.timeout(SECONDS):
            return [UUID(event.id) async for event in self.events if event.data]


@pytest.fixture
def listen() -> Callable[..., Any]:
    """`async with listen(ben) as client`: open when the block is entered."""

    @contextlib.asynccontextmanager
    async def listen(person: Any, last: UUID | None = None, **arguments: Any) -> AsyncIterator[Client]:
        headers = {"Last-Event-ID": str(last)} if last else {}
        url = "/notifications/stream"
        async with aconnect_sse(person.http, "GET", url, headers=headers, **arguments) as source:
            assert source.response.status_code == 200, await source.response.aread()
            yield Client(source.aiter_sse(), source.response)

    return listen


async def test_what_comes_is_what_the_inbox_shows(listen: Any, teller: Any, ben: Any) -> None:
    async with listen(ben) as client:
        [told] = teller.tell([ben.person_id])
        event = await client.next()
        assert (event.id, event.event) == (str(told), "notification")
        assert [event.json()] == (await ben.get("/notifications")).json()["items"]
        assert client.response.headers["content-type"].startswith("text/event-stream")
        assert client.response.headers["cache-control"] == "no-store"


async def test_a_stream_begins_with_what_comes_after_it_was_opened(listen: Any, teller: Any, ben: Any) -> None:
    teller.tell([ben.person_id])
    async with listen(ben) as client:
        assert teller.tell([ben.person_id]) == await client.ids(1)


async def test_everyone_gets_their_own_on_each_of_their_streams(listen: Any, teller: Any, ann: Any, ben: Any) -> None:
    async with listen(ann) as anns, listen(ben) as bens, listen(ben) as more_of_ben:
        for_ann, for_ben = teller.tell([ann.person_id, ben.person_id])
        assert await anns.ids(1) == [for_ann]
        assert await bens.ids(1) == await more_of_ben.ids(1) == [for_ben]


async def test_what_nobody_was_woken_for_comes_by_polling(
    listen: Any, teller: Any, ben: Any, monkeypatch: pytest.MonkeyPatch, streams: Streams, server: Any
) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.05)
    async with listen(ben) as client:
        server.call(streams._look)
        told = teller.tell([ben.person_id], wake=False)
        assert await client.ids(1) == told


async def test_a_wake_up_for_many_changes_names_none(
    listen: Any, teller: Any, ben: Any, connection: Connection
) -> None:
    async with listen(ben) as client:
        told = [told for _ in range(300) for told in teller.tell([ben.person_id], wake=False)]
        connection.exec_driver_sql("NOTIFY planner_notifications")
        assert sorted(await client.ids(300)) == told


async def test_nothing_comes_twice_to_who_stays(
    listen: Any, teller: Any, ben: Any, streams: Streams, server: Any
) -> None:
    async with listen(ben) as client:
        change = teller.change()
        told = teller.tell([ben.person_id], change)
        teller.wake([change])
        assert await client.ids(1) == told
        server.call(streams._look)
        teller.wake([change])
        assert teller.tell([ben.person_id]) == await client.ids(1)


async def test_the_stream_goes_on_when_the_listening_session_is_killed(
    listen: Any, teller: Any, ben: Any, connection: Connection
) -> None:
    async with listen(ben) as client:
        known = teller.tell([ben.person_id])
        assert await client.ids(1) == known
        before = connection.execute(text(LISTENER)).scalars().all()
        assert len(before) == 1
        killed = connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": before[0]}).scalar_one()
        assert killed
        for _ in range(2):
            told = teller.tell([ben.person_id])
            while (came := await client.ids(1)) == known:
                pass  # the session was killed before it had noted that this one was sent
            assert came == told
            known = told
        after = connection.execute(text(LISTENER)).scalars().all()
        assert len(after) == 1
        assert after != before


@pytest.mark.parametrize("where", ["header", "query"])
async def test_resuming_begins_after_the_last_one(listen: Any, teller: Any, ben: Any, where: str) -> None:
    old, last, missed, missed_too = (
        told
        for seconds in (40, 30, 20, 10)
        for told in teller.tell(
            [ben.person_id],
            made_before=timedelta(seconds=seconds),
            fanned_out_before=timedelta(seconds=seconds),
        )
    )
    assert old < last < missed < missed_too
    resumed = {"last": last} if where == "header" else {"params": {"last_event_id": str(last)}}
    async with listen(ben, **resumed) as client:
        assert await client.ids(2) == [missed, missed_too]
        assert teller.tell([ben.person_id]) == await client.ids(1)


async def test_resuming_finds_what_was_committed_late_under_an_older_id(listen: Any, teller: Any, ben: Any) -> None:
    """A long transaction made its ids before the one that was sent, and committed after it."""
    [last] = teller.tell([ben.person_id], fanned_out_before=timedelta(seconds=20), made_before=timedelta(seconds=20))
    [late] = teller.tell([ben.person_id], fanned_out_before=timedelta(seconds=1), made_before=timedelta(seconds=50))
    [old] = teller.tell([ben.person_id], fanned_out_before=timedelta(seconds=50), made_before=timedelta(seconds=50))
    assert old != late < last
    async with listen(ben, last) as client:
        assert await client.ids(1) == [late]
        assert teller.tell([ben.person_id]) == await client.ids(1)


async def test_resuming_goes_through_many_pages(
    listen: Any, teller: Any, ben: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "REPLAY_PAGE", 3)
    back = timedelta(minutes=5)
    [last] = teller.tell([ben.person_id], made_before=back * 2, fanned_out_before=back * 2)
    told = [told for _ in range(9) for told in teller.tell([ben.person_id], made_before=back, fanned_out_before=back)]
    async with listen(ben, last) as client:
        assert await client.ids(9) == sorted(told)
        assert teller.tell([ben.person_id]) == await client.ids(1)


async def test_a_foreign_id_resumes_nothing_of_others(listen: Any, teller: Any, ann: Any, ben: Any) -> None:
    [of_ann] = teller.tell([ann.person_id])
    [of_ben] = teller.tell([ben.person_id])
    async with listen(ben, of_ann) as client:
        assert await client.ids(1) == [of_ben]


async def test_nothing_is_lost_by_who_comes_and_goes(listen: Any, teller: Any, ben: Any) -> None:
    """Notifications keep coming, some under older ids, while a client takes a few, leaves and resumes."""
    [last] = teller.tell([ben.person_id])
    told: set[UUID] = set()

    def tell() -> None:
        for number in range(120):
            told.update(teller.tell([ben.person_id], made_before=timedelta(milliseconds=number % 3 * 400)))

    telling = asyncio.create_task(asyncio.to_thread(tell))
    known: set[UUID] = set()
    async with asyncio.timeout(60):
        while not (telling.done() and known >= told):
            taken = 0
            async with listen(ben, last) as client:
                with contextlib.suppress(TimeoutError):
                    while taken < 7:
                        event = await client.next(seconds=0.2)
                        taken += UUID(event.id) not in known
                        known.add(UUID(event.id))
                        last = client.last
    await telling
    assert len(told) == 120


async def test_comments_keep_a_silent_stream_open(ben: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "COMMENT_SECONDS", 0.01)
    async with ben.http.stream("GET", "/notifications/stream") as response:
        lines = response.aiter_lines()
        seen = [await anext(lines) for _ in range(7)]
    assert seen == [": subscribed", "retry: 2000", "", ": ping", "", ": ping", ""]


async def test_who_leaves_leaves_nothing_behind(listen: Any, ben: Any, streams: Streams, teller: Any) -> None:
    def open_streams() -> float:
        return float(metrics.streams._value.get())

    before = open_streams()
    async with listen(ben), listen(ben):
        assert streams.count(ben.person_id) == 2
        assert open_streams() == before + 2
    await until(lambda: not streams.count(ben.person_id))
    assert ben.person_id not in streams._people
    assert open_streams() == before


async def test_a_stream_ends_with_its_token(listen: Any, server: Any, ben: Any, teller: Any, monkeypatch: Any) -> None:
    tokens = server.app.state.access_tokens
    monkeypatch.setattr(tokens, "seconds", 2)
    ben.http.headers["Authorization"] = f"Bearer {tokens.issue(ben.account_id, ben.person_id)}"
    async with listen(ben) as client:
        told = teller.tell([ben.person_id])
        assert await client.rest() == told


async def test_a_stream_does_not_outlive_its_time(listen: Any, ben: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "STREAM_SECONDS", 0.05)
    async with listen(ben) as client:
        assert await client.rest() == []


async def test_too_many_streams_are_refused(listen: Any, ben: Any, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "STREAMS_PER_PERSON", 1)
    async with listen(ben):
        answer = await ben.get("/notifications/stream")
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        async with listen(ann):
            pass


async def test_who_does_not_read_is_let_go(
    ben: Any, teller: Any, server: Any, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that takes nothing: its queue fills, then it is forgotten, whatever its socket still holds."""
    monkeypatch.setattr(sse, "SEND_SECONDS", 0.2)
    monkeypatch.setattr(stream, "QUEUE_LENGTH", 4)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    request = (
        f"GET /api/v1/notifications/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {ben.http.headers['Authorization']}"
    )
    writer.write(f"{request}\r\n\r\n".encode())
    await reader.readuntil(b"subscribed")
    diff = {f"field{number}": [None, "x" * 200] for number in range(500)}
    for _ in range(200):
        if not streams.count(ben.person_id):
            break
        teller.tell([ben.person_id], kind="update", diff=diff)
    await until(lambda: not streams.count(ben.person_id))
    writer.close()


def test_a_full_queue_closes_its_stream_and_keeps_nothing() -> None:
    subscription = Subscription()
    for number in range(QUEUE_LENGTH):
        subscription.put(UUID(int=number), b"")
    assert not subscription.is_closed
    subscription.put(UUID(int=QUEUE_LENGTH), b"")
    assert subscription.is_closed
    subscription.put(UUID(int=0), b"")
    assert not subscription._frames


async def test_stopping_ends_the_streams_at_once(listen: Any, ben: Any, streams: Streams, server: Any) -> None:
    async with listen(ben) as client:
        try:
            server.call(streams.end)
            assert await client.rest() == []
            async with listen(ben) as late:
                assert await late.rest() == []
        finally:
            streams._is_closed = False
