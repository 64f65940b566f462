"""Reading, over 16 connections, as fast as one uvicorn process answers.

The limit is FastAPI with a constant of the same length, without anybody being asked who they are. The peer is Planner's
own API with no cache within reach.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.request import Request, urlopen
from uuid import UUID

from planner_local.servers import free_port

from bench.load import Requests, request
from bench.people import Someone, World
from bench.rows import LIMIT, PLANNER, Contestant, Goal, Row, in_turns
from bench.servers import another_api, serve
from bench.stack import Plan, Stack, stack

API = "/api/v1"
EACH = 100
"""Notifications in an inbox."""
UNCACHED = "uncached"
SMALL = "small table"

CHANGES = """
    INSERT INTO changes (event_id, revision, kind, audience_size, fanned_out_at)
    SELECT %s, n, 'update', 0, now() FROM generate_series(2, %s + 1) n RETURNING id
"""
INBOXES = """
    INSERT INTO notifications (change_id, person_id)
    SELECT change, person FROM unnest(%s::uuid[]) person, unnest(%s::bigint[]) change ORDER BY change, person
"""
STRANGERS = """
    INSERT INTO notifications (change_id, person_id)
    SELECT change, person
      FROM (SELECT gen_random_uuid() AS person FROM generate_series(1, %s) ORDER BY person) x,
           unnest(%s::bigint[]) change
"""


class Reading:
    """Requests of one person to several servers."""

    def __init__(self, system: Stack, exits: ExitStack, plan: Plan, who: Someone) -> None:
        self.system = system
        self.exits = exits
        self.total = plan.size(8_000, 200)
        self.rounds = plan.rounds
        self.who = who

    def rate(self, port: int, path: str, status: int = 200, **headers: str) -> Contestant:
        text = request("GET", path, **headers)
        return lambda: Requests(self.system.folder, port, [text], self.total, status=status).send().per_second

    def planner(self, path: str, status: int = 200, port: int | None = None, **headers: str) -> Contestant:
        headers["Authorization"] = self.who.bearer
        return self.rate(port or self.system.api_port, API + path, status, **headers)

    def answer(self, path: str) -> bytes:
        asked = Request(f"{self.system.url}{API}{path}", headers={"Authorization": self.who.bearer})  # noqa: S310
        with urlopen(asked) as response:  # noqa: S310  # an address of ours
            content: bytes = response.read()
        return content

    def constant(self, path: str) -> Contestant:
        """FastAPI, with what Planner answers now as its constant."""
        return self.rate(
            serve(self.exits, self.system, "bench.peers.constant:app", CONTENT=self.answer(path).decode()), "/"
        )

    def row(self, what: str, contestants: dict[str, Contestant], goals: list[Goal]) -> Row:
        for contestant in contestants.values():
            contestant()  # whatever the first requests take longer for
        return Row("read", what, "requests/s", in_turns(contestants, self.rounds), goals=goals)


def fill(world: World, event: UUID, people: list[Someone]) -> list[int]:
    """Give everyone an inbox; returns the changes it is of."""
    changes = [change for (change,) in world.database.execute(CHANGES, [event, EACH]).fetchall()]
    world.database.execute(INBOXES, [[one.person_id for one in people], changes])
    world.database.execute("VACUUM ANALYZE notifications")
    return changes


def run(plan: Plan) -> Iterator[Row]:
    with stack(services=("api",)) as system, ExitStack() as exits, system.connect() as database:
        world = World(database)
        ann, *others = world.people(10)
        event = world.event(ann, others)
        changes = fill(world, event, [ann, *others])
        nobody = f"redis://127.0.0.1:{free_port()}/1"
        uncached = another_api(exits, system, REDIS_CACHE_URL=nobody)
        ann_reads = Reading(system, exits, plan, ann)
        path = f"/events/{event}"
        revision = json.loads(ann_reads.answer(path))["revision"]
        event_goals = [Goal(LIMIT, ratio=0.55)]
        constant = ann_reads.constant(path)
        contestants = {
            PLANNER: ann_reads.planner(path),
            LIMIT: constant,
            UNCACHED: ann_reads.planner(path, port=uncached),
        }
        yield ann_reads.row("GET /events/{id}, cached", contestants, event_goals)
        known = {"If_None_Match": f'"{revision}"'}
        contestants = {PLANNER: ann_reads.planner(path, 304, **known), LIMIT: constant}
        yield ann_reads.row("the same with If-None-Match", contestants, event_goals)
        inbox = {"GET /notifications": "/notifications", "GET /notifications/count": "/notifications/count"}
        small = {}
        for what, path in inbox.items():
            contestants = {PLANNER: ann_reads.planner(path), LIMIT: ann_reads.constant(path)}
            row = ann_reads.row(
                f"{what}, {EACH * len(others) + EACH:,} notifications", contestants, [Goal(LIMIT, ratio=0.25)]
            )
            small[what] = row.samples[PLANNER]
            yield row
        strangers = plan.size(10_000_000, 10_000) // EACH
        database.execute(STRANGERS, [strangers, changes])
        database.execute("VACUUM ANALYZE notifications")
        for what, path in inbox.items():
            row = ann_reads.row(f"{what}, {strangers * EACH:,} notifications", {PLANNER: ann_reads.planner(path)}, [])
            row.samples[SMALL] = small[what]
            row.goals.append(Goal(SMALL, ratio=0.8))
            yield row
