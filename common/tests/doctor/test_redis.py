import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from planner_common.doctor import GROUPS, Status, redis
from planner_common.doctor.examination import examine
from planner_common.settings import Settings
from planner_local.servers import Valkey, free_port
from redis import Redis

from common.tests.doctor.conftest import Look


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    """What is set by it is as before when the test ends."""
    names = ("maxmemory", "maxmemory-policy", "appendonly")
    with Redis.from_url(valkey.url()) as client:
        before = {name: client.config_get(name)[name] for name in names}
        yield client
        for name, value in before.items():
            client.config_set(name, value)


def test_redis_as_it_should_be(look: Look, client: Redis) -> None:
    client.config_resetstat()
    for name in redis.group.checks:
        finding = look(name)
        assert (finding.status, finding.advice) == (Status.OK, ""), finding
    assert look("redis cache").found.startswith("database 1 answers and takes writes (version ")


def test_one_that_is_away(settings: Settings) -> None:
    """The others are looked at all the same."""
    away = settings.model_copy(update={"celery_broker_url": f"redis://:secret@127.0.0.1:{free_port()}/0"})
    found = {finding.check: finding for finding in examine(Settings(**away.model_dump()), [redis.group])}
    assert found["redis broker"].status is Status.FAILED
    assert "REDIS_URL" in found["redis broker"].advice
    assert found["redis cache"].status is Status.OK
    assert {found[name].status for name in ("redis policy", "redis persistence")} == {Status.UNKNOWN}
    assert "secret" not in str(found)


def test_a_wrong_password(look: Look, valkey: Valkey) -> None:
    finding = look("redis broker", redis_url=f"redis://:wrong@127.0.0.1:{valkey.port}/0")
    assert finding.status is Status.FAILED
    assert "AuthenticationError" in finding.found


def test_one_that_is_frozen(settings: Settings, tmp_path: Path) -> None:
    with Valkey(tmp_path / "valkey", free_port(), "test") as server:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            found = examine(Settings(**{**settings.model_dump(), "redis_url": server.url()}), [redis.group])
        finally:
            server.process.send_signal(signal.SIGCONT)
    assert {finding.status for finding in found} == {Status.FAILED, Status.UNKNOWN}
    assert "TimeoutError" in found[0].found


def test_a_policy_that_evicts_queues(look: Look, client: Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    finding = look("redis policy")
    assert finding.status is Status.FAILED
    assert "volatile-lru" in finding.advice
    client.config_set("maxmemory-policy", "noeviction")
    assert look("redis policy").status is Status.OK


def test_no_append_only_file(look: Look, client: Redis) -> None:
    client.config_set("appendonly", "no")
    assert look("redis persistence").status is Status.WARNING


def test_memory(look: Look, client: Redis) -> None:
    client.config_resetstat()
    client.config_set("maxmemory", 0)
    assert look("redis memory").status is Status.WARNING
    client.config_set("maxmemory-policy", "noeviction")
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", int(used / 0.87))
    assert look("redis memory").status is Status.WARNING
    client.config_set("maxmemory", 1)
    assert look("redis memory").status is Status.UNKNOWN  # nothing can be written
    finding = look("redis broker")
    assert finding.status is Status.FAILED
    assert "OutOfMemoryError" in finding.found


def test_evicted_keys(look: Look, client: Redis) -> None:
    limit = client.info("memory")["used_memory"] + 1_000_000
    for number in range(300):
        client.set(f"goes {number}", "x" * 10_000, ex=1000)
    client.config_set("maxmemory", limit)
    client.set("comes", "x")
    client.config_set("maxmemory", "256mb")
    finding = look("redis memory")
    assert finding.status is Status.WARNING
    assert "keys evicted" in finding.found
    client.config_resetstat()


def test_every_check_has_a_name_of_its_own() -> None:
    names = [name for group in GROUPS for name in group.checks]
    assert len(names) == len(set(names))
