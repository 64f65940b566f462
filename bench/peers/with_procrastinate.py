"""Procrastinate, whose queue is in PostgreSQL: two processes, eight tasks at once each, all jobs deferred at once."""

import os
from collections.abc import Iterable

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from bench.peers import store

WORKERS = [["procrastinate", "--app", "bench.peers.with_procrastinate.app", "worker", "--concurrency", "8"]] * 2

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))


@app.task
def tell(change_id: int, person_id: str) -> None:
    store.tell(change_id, person_id)


def prepare() -> None:
    """Make its tables."""
    with app.replace_connector(SyncPsycopgConnector(conninfo=os.environ["DATABASE_URL"])) as sync, sync.open():
        sync.schema_manager.apply_schema()


def send(change_id: int, people: Iterable[str]) -> None:
    with app.replace_connector(SyncPsycopgConnector(conninfo=os.environ["DATABASE_URL"])) as sync, sync.open():
        sync.tasks["bench.peers.with_procrastinate.tell"].batch_defer(
            *({"change_id": change_id, "person_id": person} for person in people)
        )
