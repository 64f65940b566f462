"""What requests ask at the same time is asked together.

A round trip costs this process much the same whether it carries one question or fifty. So while one is under way, the
questions that come meanwhile gather, and the next round trip takes all of them: who comes alone is asked for at once,
and under load each costs a fraction. Every question is asked after it came, so its answer is as fresh as if it had been
alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context
from typing import Generic, TypeVar

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")
HeldT = TypeVar("HeldT")


class Gathering(Generic[HeldT, AskedT, AnswerT]):
    """Questions of one kind.

    `traced` surrounds the wait of each, in their own trace. `hold` gives what they are asked by, such as a connection,
    which is kept as long as there are more of them. `ask` answers many, in their order, where an answer may be an
    exception; whatever it raises, all of them are told. No more than `at_most` go together. There are as many round
    trips at a time as `lanes`: with one, either this process or the other would do nothing while everybody waits for
    the other.
    """

    def __init__(
        self,
        traced: Callable[[], AbstractContextManager[None]],
        hold: Callable[[], AbstractAsyncContextManager[HeldT]],
        ask: Callable[[HeldT, Sequence[AskedT]], Awaitable[Sequence[AnswerT | Exception]]],
        at_most: int,
        lanes: int = 1,
    ) -> None:
        self._traced = traced
        self._hold = hold
        self._ask = ask
        self._at_most = at_most
        self._lanes = lanes
        self._waiting: list[tuple[AskedT, asyncio.Future[AnswerT]]] = []
        self._asking = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself would forget them

    async def __call__(self, asked: AskedT) -> AnswerT:
        """The answer to one question. Who stops waiting for it does not keep it from being asked."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[AnswerT] = loop.create_future()
        self._waiting.append((asked, future))
        # A task begins in the loop's next turn, with what came in this one; in a context of nobody's.
        if len(self._waiting) == 1 and self._asking < self._lanes:
            self._asking += 1
            task = loop.create_task(self._ask_all(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with self._traced():
            return await future

    def _take(self) -> tuple[Sequence[AskedT], Sequence[asyncio.Future[AnswerT]]]:
        now, self._waiting = self._waiting[: self._at_most], self._waiting[self._at_most :]
        return [asked for asked, _ in now], [future for _, future in now]

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                futures: Sequence[asyncio.Future[AnswerT]] = ()
                try:
                    async with self._hold() as held:
                        while self._waiting:
                            asked, futures = self._take()
                            _tell(futures, await self._ask(held, asked))
                except Exception as error:  # noqa: BLE001  # it is raised where somebody waits
                    if not futures:  # nothing to ask by
                        _, futures = self._take()
                    _tell(futures, [error] * len(futures))
        finally:
            self._asking -= 1  # with nobody waiting, and before anybody can


def _tell(futures: Sequence[asyncio.Future[AnswerT]], answers: Sequence[AnswerT | Exception]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():  # nobody waits any more
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
