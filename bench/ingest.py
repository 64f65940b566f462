"""`POST /events` with 10 participants over 16 connections, as fast as one uvicorn process takes them.

Planner with everything on: login, rate limit, validation, metrics, logs. Neither it nor the peer has workers running
meanwhile: what is measured is how fast a request is answered, and there are two processors for the server, PostgreSQL
and who asks.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

from bench.load import Answered, Requests, request
from bench.people import World
from bench.rows import LIMIT, PLANNER, Goal, Row, in_turns
from bench.servers import serve
from bench.stack import Plan, stack

PEOPLE = 10
USUAL = "fastapi+orm+delay"


def event() -> dict[str, object]:
    people = [{"id": str(uuid4()), "email": f"guest-{number}@example.org"} for number in range(PEOPLE)]
    start = {"date_time": "2030-05-01T10:00:00", "time_zone": "UTC"}
    return {
        "title": "Walk",
        "start": start,
        "end": {**start, "date_time": "2030-05-01T11:00:00"},
        "participants": people,
    }


def without_ids(body: dict[str, object]) -> dict[str, object]:
    """As Planner takes it: who somebody is, it finds out itself."""
    people = body["participants"]
    assert isinstance(people, list)
    return {**body, "participants": [{"email": one["email"]} for one in people]}


def run(plan: Plan) -> Iterator[Row]:
    with stack(services=("api",)) as system, ExitStack() as exits:
        with system.connect() as database:
            (ann,) = World(database).people(1)
        limit = serve(
            exits, system, "bench.peers.starlette_insert:app", ORGANIZER=str(ann.account_id), PERSON=str(ann.person_id)
        )
        usual = serve(exits, system, "bench.peers.fastapi_orm:app")
        bodies = [event() for _ in range(100)]
        plain = [request("POST", "/events", body) for body in bodies]
        ours = [request("POST", "/api/v1/events", without_ids(body), Authorization=ann.bearer) for body in bodies]
        total = plan.size(5_000, 200)
        servers = {
            PLANNER: Requests(system.folder, system.api_port, ours, total, status=201),
            LIMIT: Requests(system.folder, limit, plain, total, status=201),
            USUAL: Requests(system.folder, usual, plain, total // 10, status=201),
        }
        tails: list[float] = []

        def rate(name: str) -> float:
            answered: Answered = servers[name].send()
            if name == PLANNER:
                tails.append(answered.p99 * 1000)
            return answered.per_second

        for name in servers:
            rate(name)  # whatever the first requests take longer for
        tails.clear()
        samples = in_turns({name: lambda name=name: rate(name) for name in servers}, plan.rounds)  # type: ignore[misc]
        goals = [Goal(LIMIT, ratio=0.5), Goal(USUAL, ratio=8)]
        yield Row("ingest", f"POST /events, {PEOPLE} participants", "requests/s", samples, goals=goals)
        yield Row("ingest", "p99 of these", "ms", {PLANNER: tails}, more=False, goals=[Goal(at_most=50)])
