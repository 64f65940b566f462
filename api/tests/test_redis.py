"""Redis stopped, frozen or emptied costs speed, never a request."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from planner_api import redis as guarded
from planner_api.app import create_app
from planner_api.redis import Cache, Guard, RedisAwayError, make_client
from planner_common.settings import Settings
from planner_local.servers import Valkey, free_port
from prometheus_client import REGISTRY
from pydantic import SecretStr
from redis import Redis

from .conftest import until


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey for this test alone, to do with as it likes."""
    with Valkey(tmp_path / "valkey", free_port(), "test") as server:
        yield server
        if server.process is not None:
            os.kill(server.process.pid, signal.SIGCONT)


@pytest.fixture
async def app(settings: Settings, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    monkeypatch.setattr(guarded, "OPERATION_SECONDS", 0.3)
    monkeypatch.setattr(guarded, "PROBE_SECONDS", 0.05)
    changes = {"redis_url": SecretStr(own_valkey.url()), "rate_limit": "1000/year"}
    app = create_app(settings.model_copy(update=changes))
    async with app.router.lifespan_context(app):
        yield app


def stop(server: Valkey) -> None:
    server.stop()


def freeze(server: Valkey) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)


def mend(server: Valkey) -> None:
    if server.process is None:
        server.start()
    else:
        os.kill(server.process.pid, signal.SIGCONT)


def remaining(answer: httpx.Response) -> int:
    assert answer.status_code == 401, answer.text
    return int(answer.headers["x-ratelimit-remaining"])


@pytest.mark.parametrize("fail", [stop, freeze])
@pytest.mark.parametrize("warm", [True, False], ids=["connected", "unconnected"])
async def test_redis_away_costs_one_timeout_and_then_nothing(
    app: FastAPI, client: httpx.AsyncClient, own_valkey: Valkey, fail: Callable[[Valkey], None], warm: bool
) -> None:
    guard: Guard = app.state.guard
    if warm:
        assert remaining(await client.get("/api/v1/me")) == 999
    fail(own_valkey)
    counted = [remaining(await client.get("/api/v1/me")) for _ in range(20)]
    assert counted == list(range(999, 979, -1)), "limits go on, counted in this process"
    # Only the first request asked Redis; on a machine so busy that it may have been that, the second one too.
    failures = guard.failures
    assert failures in {1, 2}
    assert guard.is_open
    await app.state.cache.put("key", b"value")
    assert await app.state.cache.get("key") is None
    assert guard.failures == failures
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["degraded"]) == (200, ["cache", "rate limits"])

    mend(own_valkey)
    await until(lambda: not guard.is_open)
    assert (await client.get("/readyz")).json()["degraded"] == []
    # Counted in Redis again, which may have read what was given up while it was frozen.
    assert remaining(await client.get("/api/v1/me")) in ({998, 997} if warm else {999, 998})


@pytest.mark.parametrize("fail", [stop, freeze])
async def test_requests_at_the_same_moment_pay_once_each_at_most(
    app: FastAPI, client: httpx.AsyncClient, own_valkey: Valkey, fail: Callable[[Valkey], None]
) -> None:
    fail(own_valkey)
    answers = await asyncio.gather(*(client.get("/api/v1/me") for _ in range(30)))
    assert {answer.status_code for answer in answers} == {401}
    assert 1 <= app.state.guard.failures <= 30
    assert app.state.guard.is_open
    failures = app.state.guard.failures
    await client.get("/api/v1/me")
    assert app.state.guard.failures == failures


async def test_emptied_redis_is_no_trouble(app: FastAPI, client: httpx.AsyncClient, own_valkey: Valkey) -> None:
    await client.get("/api/v1/me")
    with Redis.from_url(own_valkey.url()) as redis:
        redis.flushall()
        redis.script_flush()
    assert remaining(await client.get("/api/v1/me")) == 999
    assert app.state.guard.failures == 0


async def test_the_cache_keeps_what_it_is_given_for_a_time(app: FastAPI, own_valkey: Valkey) -> None:
    cache: Cache = app.state.cache

    def reads(result: str) -> float:
        return REGISTRY.get_sample_value("planner_cache_reads_total", {"result": result}) or 0

    hits, misses = reads("hit"), reads("miss")
    assert await cache.get("event:1:1") is None
    await cache.put("event:1:1", b"\x00answer")
    assert await cache.get("event:1:1") == b"\x00answer"
    assert (reads("hit"), reads("miss")) == (hits + 1, misses + 1)
    with Redis.from_url(own_valkey.url(1)) as redis:
        assert 0 < redis.ttl("event:1:1") <= app.state.settings.cache_seconds


async def test_a_late_timeout_of_a_busy_process_says_nothing_of_redis(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(own_valkey.url())
    guard = Guard(client)

    async def answer() -> None:
        monkeypatch.setattr(guarded, "OPERATION_SECONDS", 5)
        await guard.call(client.ping)

    async def time_out_late() -> None:
        monkeypatch.setattr(guarded, "OPERATION_SECONDS", 0.05)
        asyncio.get_running_loop().call_soon(time.sleep, 0.2)
        with pytest.raises(RedisAwayError):
            await guard.call(asyncio.sleep, 5)

    for _ in range(2):
        await answer()
        await time_out_late()
        assert not guard.is_open
    await time_out_late()
    assert guard.is_open, "twice in a row it is Redis, or as good as that"
    await guard.close()
    await client.aclose()
