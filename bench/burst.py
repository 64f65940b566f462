"""2,000 events with 10 participants each, as fast as the API takes them: until the last notification is there.

The limit is the notifications alone, inserted by one statement; the peer is the usual way, FastAPI with a Celery task
for each participant, of which fewer events are made since its rate does not depend on how many there are.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.ingest import PEOPLE, USUAL, event, without_ids
from bench.load import Requests, request
from bench.peers import load
from bench.people import World
from bench.rows import LIMIT, PLANNER, Goal, Row, in_turns
from bench.servers import serve
from bench.stack import Plan, processes, stack
from tests.system import until

COUNT = "SELECT count(*) FROM notifications"
BY_HAND = """
    INSERT INTO notifications (change_id, person_id)
    SELECT 1000000000 + event, gen_random_uuid() FROM generate_series(1, %s) event, generate_series(1, %s) ORDER BY 1
"""


def run(plan: Plan) -> Iterator[Row]:
    events = plan.size(2_000, 50)
    few = plan.size(200, 10)
    with stack() as system, ExitStack() as exits, system.connect() as database:
        peer = load("with_celery", system.for_peers())
        exits.enter_context(processes(peer.WORKERS, system.for_peers(), system.folder / "celery.log"))
        port = serve(exits, system, "bench.peers.fastapi_orm:app")
        world = World(database)
        (ann,) = world.people(1)
        bodies = [event() for _ in range(100)]
        plain = [request("POST", "/events", body) for body in bodies]
        ours = [request("POST", "/api/v1/events", without_ids(body), Authorization=ann.bearer) for body in bodies]

        def told(requests: Requests) -> float:
            """Notifications per second, from the first request to the last notification."""
            world.clear()
            due = requests.total * PEOPLE
            answered = requests.send()
            until(lambda: database.execute(COUNT).fetchone() == (due,), "all are told", 300)
            return due / (time.time() - answered.began)

        def by_hand() -> float:
            world.clear()
            started = time.perf_counter()
            database.execute(BY_HAND, [events, PEOPLE])
            return events * PEOPLE / (time.perf_counter() - started)

        contestants = {
            PLANNER: lambda: told(Requests(system.folder, system.api_port, ours, events, status=201)),
            LIMIT: by_hand,
            USUAL: lambda: told(Requests(system.folder, port, plain, few, status=201)),
        }
        for contestant in contestants.values():
            contestant()  # whatever the first requests take longer for
        samples = in_turns(contestants, plan.rounds)
        yield Row("burst", f"{events:,} events × {PEOPLE}", "notifications/s", samples, goals=[Goal(USUAL, ratio=20)])
