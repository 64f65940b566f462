"""Delivering: what is due leaves Planner."""

import asyncio
from functools import lru_cache
from uuid import UUID

from planner_common.messages import Task
from planner_common.settings import get_settings
from sqlalchemy.exc import OperationalError

from planner_worker.app import app
from planner_worker.channels.all import make_channels
from planner_worker.database import engine
from planner_worker.delivery.sending import Sender


@lru_cache(maxsize=1)
def loop() -> asyncio.AbstractEventLoop:
    """The process's event loop. It turns only while a batch is sent, and keeps connections from one to the next."""
    return asyncio.new_event_loop()


@lru_cache(maxsize=1)
def sender() -> Sender:
    """Made in the loop, after the fork."""
    settings = get_settings()
    return Sender(settings, engine, make_channels(settings))


async def _deliver(held: list[tuple[UUID, int]]) -> dict[str, int]:
    return await sender().deliver(held)


@app.task(name=Task.DELIVER.value, throws=(OperationalError,))
def deliver(held: list[tuple[str, int]]) -> dict[str, int]:
    """Send these deliveries, `(id, claims)` each, as far as they are held by these claims and still matter.

    Returns how many came to which state (`sent`, `failed`, `dead`, `superseded`), were `put_off`, were `given_back` to
    the dispatcher, or `lost`: another had taken them over.
    """
    return loop().run_until_complete(_deliver([(UUID(delivery), claims) for delivery, claims in held]))
