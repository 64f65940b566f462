"""The pool by itself, without a worker around it. What a worker does with it: tests/acceptance/test_children.py."""

from collections.abc import Iterator
from typing import Any

import pytest
from kombu.asynchronous import Hub
from planner_worker.pool import Pool

from tests.system import until


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def pool(hub: Hub) -> Iterator[Any]:
    pool: Any = Pool(processes=1, threads=False)  # Celery has no types
    pool.register_with_event_loop(hub)
    yield pool
    pool.terminate()


def test_a_child_that_just_ended_is_not_tracked_when_the_broker_comes_back(hub: Hub, pool: Any) -> None:
    """The end of a child is seen a moment before it can be collected: in that moment the broker comes back."""
    (child,) = pool._pool
    pool._untrack_child_process(child, hub)
    pool.register_with_event_loop(hub)
    child.terminate()

    def another() -> bool:
        hub.run_once()
        pool.maintain_pool()
        return child not in pool._pool and bool(pool._all_inqueues)

    until(another, "another child, which is ready")
