"""What this process asks PostgreSQL for many requests at once, by one statement of each kind at a time."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from planner_common import tracing
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from planner_api import inbox
from planner_api.database import connect
from planner_api.events import reading, writing
from planner_api.gathering import Gathering

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")

AT_MOST = 50
"""How many requests one statement is for."""
LANES = 2
"""How many statements of a kind are under way at a time."""


class Together:
    """`engine`: an autocommitting one."""

    def __init__(self, engine: AsyncEngine) -> None:
        def gathering(
            statement: str,
            ask: Callable[[AsyncConnection, Sequence[AskedT]], Awaitable[Sequence[AnswerT | Exception]]],
        ) -> Gathering[AsyncConnection, AskedT, AnswerT]:
            return Gathering(partial(tracing.statement, statement), partial(connect, engine), ask, AT_MOST, LANES)

        self.access = gathering(reading.ACCESSES, reading.accesses)
        self.create = gathering(writing.CREATE, writing.create_each)
        self.newest = gathering(inbox.NEWEST, inbox.newest)
        self.newest_unread = gathering(inbox.NEWEST_UNREAD, inbox.newest_unread)
        self.unread = gathering(inbox.UNREAD, inbox.unread)
