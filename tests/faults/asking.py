"""Requests that are sent again until their fate is known, as a good client does."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
from planner_local.client import ApiError, Person

from tests.faults.writes import Write

TRY_SECONDS = 8.0
PAUSES = (0.1, 1.0)
"""Seconds between tries: at first, at most."""
KEYED = ("POST", "PATCH")


@dataclass(frozen=True)
class Answer:
    """A definite one: it is done, or it is not."""

    status: int
    body: dict[str, Any]
    doubtful: bool
    """An earlier try may have been the one that did it."""

    @property
    def is_success(self) -> bool:
        return self.status < httpx.codes.BAD_REQUEST


@dataclass
class Asker:
    lots: Random
    giving_up: Callable[[], bool] = lambda: False
    """Whether it is time to let go of what has no answer yet."""
    faults: Counter[str] = field(default_factory=Counter)
    """How tries failed, counted."""

    async def ask(
        self, person: Person, method: str, path: str, write: Write, *, patient: bool = True, **arguments: Any
    ) -> Answer | None:
        """The answer; None if it was given up, so that nobody knows. Not `patient`: at the first doubt.

        All tries of a POST or PATCH carry one key.
        """
        headers = {**arguments.pop("headers", {}), **({"Idempotency-Key": write.key} if method in KEYED else {})}
        doubtful, pause = False, PAUSES[0]
        while not self.giving_up():
            write.tries += 1
            try:
                response = await person.call(method, path, headers=headers, timeout=TRY_SECONDS, **arguments)
            except httpx.ConnectError:
                self.faults["connection refused"] += 1  # so it was never sent
            except httpx.HTTPError as error:
                self.faults[type(error).__name__] += 1
                doubtful = True
            except ApiError as error:
                if not self._again(error):
                    return Answer(error.status, error.problem, doubtful)
                doubtful = doubtful or error.status >= httpx.codes.INTERNAL_SERVER_ERROR
            else:
                return Answer(response.status_code, response.json() if response.content else {}, doubtful)
            if doubtful and not patient:
                return None
            await asyncio.sleep(pause * self.lots.uniform(0.5, 1))
            pause = min(pause * 2, PAUSES[1])
        return None

    def _again(self, error: ApiError) -> bool:
        if error.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            self.faults[str(error.status)] += 1
            return True
        return str(error.problem.get("type", "")).endswith("/in-progress")


class Pace:
    """So many turns per second, on average: what an outage has kept back is made up for afterwards, up to a bound."""

    def __init__(self, per_second: float, most_behind: float = 10.0) -> None:
        self._gap = 1 / per_second
        self._most_behind = most_behind
        self._next = time.monotonic()

    async def turn(self) -> None:
        now = time.monotonic()
        self._next = max(self._next + self._gap, now - self._most_behind)
        if self._next > now:
            await asyncio.sleep(self._next - now)
