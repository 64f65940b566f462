"""Long computations on the event loop, in slices, so that other requests are not kept waiting.

A thread would not help: it would take the interpreter's lock for 5 ms each time one of them wants to go on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

SLICE_SECONDS = 0.001

T = TypeVar("T")


async def taking_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, one by one; whenever a slice is used up, others have their turn first."""
    began = time.perf_counter()
    for item in items:
        yield item
        if time.perf_counter() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
