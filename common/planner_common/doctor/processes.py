"""The processes, by their own word: alive, alike, and of one time."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Row, text

from planner_common.doctor.database import CLOCK_FAILS, CLOCK_WARNS, Asked, group
from planner_common.doctor.verdicts import Verdict, by_size, failed, ok, unknown, warning
from planner_common.messages import Queue
from planner_common.presence import ALIVE_SECONDS, SERVICES, planner_version, tzdata_version

PROCESSES = text(f"""
    SELECT id, service, version, tzdata, queues, EXTRACT(epoch FROM seen_at - clock)::float AS clock_behind,
           EXTRACT(epoch FROM clock_timestamp() - seen_at)::float AS age,
           seen_at > clock_timestamp() - interval '{ALIVE_SECONDS} seconds' AS alive
      FROM processes ORDER BY seen_at DESC
""")
LOGS = "read its log, and start it: docker compose up --detach {0}"


def _alive(asked: Asked) -> Sequence[Row[Any]]:
    return [row for row in asked.connection.execute(PROCESSES) if row.alive]


def _service(service: str, asked: Asked) -> Verdict:
    rows = [row for row in asked.connection.execute(PROCESSES) if row.service == service]
    if alive := [row for row in rows if row.alive]:
        return ok(f"{len(alive)} alive: {', '.join(sorted(row.id for row in alive))}")
    last = f"the last was seen {rows[0].age:.0f} s ago: {rows[0].id}" if rows else "none was seen for a day"
    return failed(f"none alive; {last}", LOGS.format(service))


for service in SERVICES:
    group.check(service)(partial(_service, service))


@group.check("queues")
def queues(asked: Asked) -> Verdict:
    """Each has a worker that lives and takes from it."""
    consumed = {queue for row in _alive(asked) for queue in row.queues}
    if missing := [queue for queue in Queue if queue not in consumed]:
        return failed(f"nobody consumes {', '.join(missing)}", LOGS.format("worker"))
    return ok(f"all {len(Queue)} are consumed")


@group.check("process clocks")
def clocks(asked: Asked) -> Verdict:
    rows = _alive(asked)
    if not rows:
        return unknown("no process is alive")
    worst = max(rows, key=lambda row: abs(row.clock_behind))
    apart = abs(worst.clock_behind)
    found = f"at most {apart:.2f} s from PostgreSQL's ({worst.id})"
    return by_size(apart, found, "set the clock of its host by NTP", warns=CLOCK_WARNS, fails=CLOCK_FAILS)


@group.check("versions")
def versions(asked: Asked) -> Verdict:
    return _alike({row.id: row.version for row in _alive(asked)} | {"this command": planner_version()}, "the upgrade")


@group.check("time zones")
def time_zones(asked: Asked) -> Verdict:
    found = {row.id: row.tzdata.partition(" ")[0] for row in _alive(asked)}
    return _alike(found | {"this command": tzdata_version().partition(" ")[0]}, "an update of tzdata")


def _alike(said: dict[str, str], what: str) -> Verdict:
    """Said by each the same."""
    kinds = sorted(set(said.values()))
    if len(kinds) == 1:
        return ok(f"{kinds[0]} everywhere")
    examples = (next(f"{kind} ({id_})" for id_, value in said.items() if value == kind) for kind in kinds)
    return warning(", ".join(examples), f"finish {what}: events may get other times here than there")
