"""The dispatcher is woken after commits, and no request waits for that or fails with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from planner_api.waker import Waker
from planner_common.messages import Channel
from planner_common.settings import Settings
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

SECONDS = 20
EVENT = {"title": "Retrospective", "start": {"date": "2031-03-28"}, "end": {"date": "2031-03-29"}}


@pytest.fixture
async def heard(settings: Settings) -> AsyncIterator[asyncio.Queue[str]]:
    """What a dispatcher would hear."""
    listener = await asyncpg.connect(settings.database_url.get_secret_value())
    queue: asyncio.Queue[str] = asyncio.Queue()
    await listener.add_listener(Channel.CHANGES, lambda *message: queue.put_nowait(message[-1]))
    yield queue
    await listener.close()


async def test_a_change_wakes_after_its_commit(
    heard: asyncio.Queue[str], register: Callable[..., Awaitable[Any]], connection: Connection
) -> None:
    ann = await register("Ann")
    event = (await ann.post("/events", json=EVENT)).json()
    await asyncio.wait_for(heard.get(), SECONDS)
    assert connection.execute(text("SELECT count(*) FROM changes")).scalar_one() == 1
    while not heard.empty():
        heard.get_nowait()
    await ann.patch(f"/events/{event['id']}", json={"title": "Review"}, headers={"If-Match": '"1"'})
    await asyncio.wait_for(heard.get(), SECONDS)
    assert connection.execute(text("SELECT count(*) FROM changes")).scalar_one() == 2


async def test_without_its_connection_it_makes_another(
    heard: asyncio.Queue[str], register: Callable[..., Awaitable[Any]], connection: Connection
) -> None:
    ann = await register("Ann")
    await ann.post("/events", json=EVENT)
    await asyncio.wait_for(heard.get(), SECONDS)
    while not heard.empty():
        heard.get_nowait()
    ended = connection.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'planner-api-waker'"
            " AND datname = current_database()"
        )
    )
    assert ended.scalars().all() == [True]
    assert (await ann.post("/events", json=EVENT)).status_code == 201
    await asyncio.wait_for(heard.get(), SECONDS)


async def test_many_commits_are_one_waking(heard: asyncio.Queue[str], settings: Settings) -> None:
    waker = Waker(settings)
    for _ in range(100):
        waker.wake()
    waker.start()
    await asyncio.wait_for(heard.get(), SECONDS)
    waker.wake()
    await asyncio.wait_for(heard.get(), SECONDS)
    assert heard.empty()
    await waker.close()


async def test_with_postgresql_away_it_waits(settings: Settings) -> None:
    waker = Waker(
        settings.model_copy(update={"database_url": type(settings.database_url)("postgresql://127.0.0.1:1/x")})
    )
    with capture_logs() as logs:
        waker.start()
        waker.wake()
        async with asyncio.timeout(SECONDS):
            while not logs:  # noqa: ASYNC110  # a list has no event to wait for
                await asyncio.sleep(0.01)
        await waker.close()
    assert logs[0]["event"] == "waker_disconnected"
