"""Taskiq over Redis: two processes, tasks that are coroutines, the ORM's asynchronous session."""

import asyncio
import os
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from taskiq_redis import ListQueueBroker

from bench.peers.store import Notification

WORKERS = [["taskiq", "worker", "--workers", "2", "--log-level", "WARNING", "bench.peers.with_taskiq:broker"]]

broker = ListQueueBroker(os.environ["REDIS_URL"])
engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=8)
sessions = async_sessionmaker(engine)


@broker.task
async def tell(change_id: int, person_id: str) -> None:
    async with sessions() as session:
        session.add(Notification(change_id=change_id, person_id=UUID(person_id)))
        await session.commit()


def send(change_id: int, people: Iterable[str]) -> None:
    asyncio.run(_send(change_id, people))


async def _send(change_id: int, people: Iterable[str]) -> None:
    await broker.startup()
    for person in people:
        await tell.kiq(change_id, person)
    await broker.shutdown()
