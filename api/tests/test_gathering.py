"""What is asked at the same time is asked together, and everyone gets the answer to their own question."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

import pytest
from planner_api.gathering import Gathering


class Oracle:
    """Doubles numbers, and remembers how it was asked. Whoever asks waits until it may answer."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []
        self.held = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()
        self.away = False

    @asynccontextmanager
    async def hold(self) -> AsyncIterator["Oracle"]:
        if self.away:
            raise ConnectionError
        self.held += 1
        yield self

    async def double(self, _held: "Oracle", numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.asked.append(numbers)
        self.is_asked.set()
        await self.may_answer.wait()
        if 13 in numbers:
            raise RuntimeError("13")
        return [ValueError(number) if number < 0 else 2 * number for number in numbers]


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def gathering(oracle: Oracle) -> Gathering[Oracle, int, int]:
    return Gathering(nullcontext, oracle.hold, oracle.double, at_most=10)


async def test_what_comes_in_one_turn_goes_together(oracle: Oracle, gathering: Gathering[Oracle, int, int]) -> None:
    assert await asyncio.gather(*(gathering(number) for number in range(4))) == [0, 2, 4, 6]
    assert oracle.asked == [[0, 1, 2, 3]]


async def test_what_comes_while_one_is_asked_goes_next(oracle: Oracle, gathering: Gathering[Oracle, int, int]) -> None:
    oracle.may_answer.clear()
    first = asyncio.create_task(gathering(1))
    await oracle.is_asked.wait()
    others = [asyncio.create_task(gathering(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    assert oracle.asked == [[1]]
    oracle.may_answer.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert oracle.asked == [[1], [2, 3]]
    assert oracle.held == 1


async def test_no_more_go_together_than_may(oracle: Oracle, gathering: Gathering[Oracle, int, int]) -> None:
    await asyncio.gather(*(gathering(number) for number in range(25) if number != 13))
    assert [len(numbers) for numbers in oracle.asked] == [10, 10, 4]


async def test_a_failure_is_that_of_all_and_the_next_are_asked(
    oracle: Oracle, gathering: Gathering[Oracle, int, int]
) -> None:
    answers = await asyncio.gather(gathering(1), gathering(13), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]
    assert await gathering(4) == 8
    assert oracle.held == 2


async def test_an_answer_may_be_a_failure(gathering: Gathering[Oracle, int, int]) -> None:
    one, other = await asyncio.gather(gathering(-1), gathering(1), return_exceptions=True)
    assert isinstance(one, ValueError)
    assert other == 2


async def test_nobody_to_ask_is_a_failure_and_not_for_ever(
    oracle: Oracle, gathering: Gathering[Oracle, int, int]
) -> None:
    oracle.away = True
    answers = await asyncio.gather(*(gathering(number) for number in range(12)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {ConnectionError}
    oracle.away = False
    assert await gathering(1) == 2


async def test_who_gives_up_keeps_nobody_else_from_an_answer(
    oracle: Oracle, gathering: Gathering[Oracle, int, int]
) -> None:
    oracle.may_answer.clear()
    impatient, patient = asyncio.create_task(gathering(1)), asyncio.create_task(gathering(2))
    await oracle.is_asked.wait()
    impatient.cancel()
    oracle.may_answer.set()
    assert await patient == 4
    assert (await asyncio.gather(impatient, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_with_two_lanes_two_are_asked_at_a_time(oracle: Oracle) -> None:
    gathering: Gathering[Oracle, int, int] = Gathering(nullcontext, oracle.hold, oracle.double, at_most=10, lanes=2)
    oracle.may_answer.clear()
    answers = []
    for number in range(6):
        answers.append(asyncio.create_task(gathering(number)))
        while not oracle.asked or (number < 2 and number not in oracle.asked[-1]):
            await oracle.is_asked.wait()
            await asyncio.sleep(0)
    assert oracle.asked == [[0], [1]]
    oracle.may_answer.set()
    assert await asyncio.gather(*answers) == [0, 2, 4, 6, 8, 10]
    assert oracle.asked == [[0], [1], [2, 3, 4, 5]]


@pytest.mark.parametrize("lanes", [1, 2])
async def test_nobody_is_forgotten(oracle: Oracle, lanes: int) -> None:
    """Whenever a question comes, also just when the last ones have been answered."""
    gathering: Gathering[Oracle, int, int] = Gathering(nullcontext, oracle.hold, oracle.double, at_most=3, lanes=lanes)

    async def client(number: int) -> None:
        for turn in range(50):
            assert await gathering(number) == 2 * number
            for _ in range((number * turn) % 4):
                await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await asyncio.gather(*(client(number) for number in range(7)))
