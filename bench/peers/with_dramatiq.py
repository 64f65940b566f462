"""Dramatiq over Redis: two processes with eight threads each, its default."""

import os
from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import store

WORKERS = [["dramatiq", "bench.peers.with_dramatiq", "--processes", "2"]]

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def tell(change_id: int, person_id: str) -> None:
    store.tell(change_id, person_id)


def send(change_id: int, people: Iterable[str]) -> None:
    for person in people:
        tell.send(change_id, person)
