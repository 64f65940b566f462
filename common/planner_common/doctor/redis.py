"""Redis: its databases answer and take writes, and what must not be lost is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from planner_common.doctor.database import FULL_FAILS, FULL_WARNS
from planner_common.doctor.examination import Group
from planner_common.doctor.verdicts import Status, Verdict, by_size, failed, ok, unknown, warning
from planner_common.logging import in_short
from planner_common.settings import Settings

TIMEOUT = 2.0
PROBE = "planner-doctor"
ROLES = {"broker": Settings.broker, "cache": Settings.cache, "limits": Settings.limits}
ADVICE = "start Redis, and compare REDIS_URL (or the one of this database) with its address and password"

Answers = dict[str, dict[str, Any] | RedisError]
"""What each of the databases says of the server it is in (INFO), or why it does not."""


def _ask(url: str) -> dict[str, Any] | RedisError:
    try:
        with Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.set(PROBE, "", px=1000)  # a full one answers and refuses to write
            number = client.connection_pool.connection_kwargs.get("db", 0)
            return {**client.info(), "database": number}
    except RedisError as error:
        return error


@contextmanager
def _open(settings: Settings) -> Iterator[Answers]:
    yield {role: _ask(url(settings)) for role, url in ROLES.items()}


group = Group("Redis", ADVICE, _open)


def _database(role: str, answers: Answers) -> Verdict:
    answer = answers[role]
    if isinstance(answer, RedisError):
        return failed(in_short(answer), ADVICE)
    version = answer.get("valkey_version") or answer["redis_version"]
    return ok(f"database {answer['database']} answers and takes writes (version {version})")


for role in ROLES:
    group.check(f"redis {role}")(partial(_database, role))


def _broker(answers: Answers) -> dict[str, Any] | None:
    answer = answers["broker"]
    return None if isinstance(answer, RedisError) else answer


UNSEEN = unknown("not looked at: the broker does not answer")


@group.check("redis policy")
def policy(answers: Answers) -> Verdict:
    if not (info := _broker(answers)):
        return UNSEEN
    found = str(info["maxmemory_policy"])
    if found.startswith("allkeys-"):
        return failed(
            f"{found}: a full cache would evict the queues, each of which is one key",
            "set maxmemory-policy volatile-lru: only what has a time to live goes",
        )
    return ok(found)


@group.check("redis persistence")
def persistence(answers: Answers) -> Verdict:
    if not (info := _broker(answers)):
        return UNSEEN
    if not info["aof_enabled"]:
        return warning(
            "no append-only file: a restart empties the queues, which are sent again when the leases have run out",
            "set appendonly yes",
        )
    if info["aof_last_write_status"] != "ok":
        return failed("the append-only file cannot be written", "make room on the disk of Redis")
    return ok("append-only file, written in order")


@group.check("redis memory")
def memory(answers: Answers) -> Verdict:
    """Of every server that holds one of the databases; the fullest counts."""
    servers = {info["run_id"]: info for info in answers.values() if not isinstance(info, RedisError)}
    if not servers:
        return UNSEEN
    return max((_memory(info) for info in servers.values()), key=lambda verdict: verdict.status.rank)


def _memory(info: dict[str, Any]) -> Verdict:
    used, limit, evicted = info["used_memory"], info["maxmemory"], info["evicted_keys"]
    if not limit:
        return warning(f"{used / 1e6:,.0f} MB, no limit: it may take all of the machine's", "set maxmemory")
    found = f"{used / 1e6:,.0f} of {limit / 1e6:,.0f} MB, {evicted:,} keys evicted since it started"
    advice = "raise maxmemory, or lower CACHE_SECONDS; see which queue is long"
    verdict = by_size(used / limit, found, advice, warns=FULL_WARNS, fails=FULL_FAILS)
    return warning(found, advice) if evicted and verdict.status is Status.OK else verdict
