"""Celery 5 over Redis, prefork, early acknowledgements, no results: two processes."""

import os
from collections.abc import Iterable

from celery import Celery
from redis import Redis

from bench.peers import store

WORKERS = [["celery", "-A", "bench.peers.with_celery", "worker", "--concurrency=2", "--loglevel=WARNING"]]

app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True
redis = Redis.from_url(os.environ["REDIS_URL"])


@app.task
def tell(change_id: int, person_id: str) -> None:
    store.tell(change_id, person_id)


@app.task
def nothing(key: str) -> None:
    """Do nothing but say so, to whoever waits for it."""
    redis.rpush(key, 1)


def send(change_id: int, people: Iterable[str]) -> None:
    for person in people:
        tell.delay(change_id, person)
