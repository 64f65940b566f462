"""What is due, and how it is claimed: a module for each kind of work that the dispatcher hands to the workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from planner_common.messages import Queue, Task
from planner_common.tracing import Traces

Database = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Handout:
    """A message for the broker, with what it hands out."""

    task: Task
    queue: Queue
    argument: list[Any]
    request_ids: list[str]
    held: Sequence[tuple[Any, int]]
    """Ids with their claims, to release them should the broker not take it."""
    due: float
    """Since when the oldest of it is due, in seconds since the epoch."""
    again: bool
    """Some of it was handed out before, and its lease ran out."""

    traces: Traces
    """Of the changes in it, or of those that its deliveries are about, that are traced."""

    def headers(self) -> dict[str, object]:
        """What the worker is to know of it besides."""
        return {"request_ids": self.request_ids, "due": self.due, "again": self.again}


class Source(Protocol):
    """One kind of work."""

    @property
    def queues(self) -> Sequence[Queue]:
        """Where its messages go."""

    long_queue: int
    """Messages waiting in a queue from which on it is fed no more: what waits there too long is dispatched twice."""

    def claim(self, database: Database, queues: Sequence[Queue]) -> tuple[list[Handout], bool]:
        """Claim what is due for these queues, in messages, and say whether there may be more."""

    def release(self, database: Database, handouts: Sequence[Handout]) -> None:
        """Let go of what was claimed and not handed out, as if it had never been claimed."""
