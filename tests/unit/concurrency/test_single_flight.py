from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from advanced_rag.concurrency.single_flight import SingleFlight
from advanced_rag.exceptions import LoadShed


class Computation:
    """Something that takes until it is told to end, and counts."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.cancelled_by: list[tuple[object, ...]] = []
        self.error: Exception | None = None

    async def __call__(self, keys: Sequence[str]) -> list[str]:
        self.batches.append(list(keys))
        try:
            await self.gate.wait()
        except asyncio.CancelledError as error:
            self.cancelled_by.append(error.args)
            raise
        if self.error is not None:
            raise self.error
        return [key.upper() for key in keys]


@pytest.fixture
def flights() -> SingleFlight[str, str]:
    return SingleFlight()


@pytest.fixture
async def computation() -> Computation:
    return Computation()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_same_key_at_once_is_computed_once(flights: SingleFlight[str, str], computation: Computation) -> None:
    callers = [asyncio.create_task(flights.run_many(["a"], computation)) for _ in range(100)]
    await settle()
    assert flights.in_flight == 1
    computation.gate.set()
    assert await asyncio.gather(*callers) == [["A"]] * 100
    assert computation.batches == [["a"]]
    await settle()
    assert flights.in_flight == 0


async def test_afterwards_it_is_computed_again(flights: SingleFlight[str, str]) -> None:
    values = iter("12")

    async def compute() -> str:
        return next(values)

    assert await flights.run("a", compute) == "1"
    await settle()
    assert await flights.run("a", compute) == "2"


async def test_only_what_nobody_computes_yet_goes_into_the_batch(
    flights: SingleFlight[str, str], computation: Computation
) -> None:
    first = asyncio.create_task(flights.run_many(["a", "b"], computation))
    await settle()
    second = asyncio.create_task(flights.run_many(["c", "b", "d", "c"], computation))
    await settle()
    assert computation.batches == [["a", "b"], ["c", "d"]]
    computation.gate.set()
    assert await first == ["A", "B"]
    assert await second == ["C", "B", "D", "C"]


async def test_nothing_asked_nothing_computed(flights: SingleFlight[str, str], computation: Computation) -> None:
    assert await flights.run_many([], computation) == []
    assert computation.batches == []


async def test_one_callers_cancellation_leaves_the_others_alone(
    flights: SingleFlight[str, str], computation: Computation
) -> None:
    first, second = (asyncio.create_task(flights.run_many(["a"], computation)) for _ in range(2))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    computation.gate.set()
    assert await second == ["A"]
    assert computation.cancelled_by == []


async def test_when_the_last_caller_goes_so_does_the_computation_and_it_is_told_why(
    flights: SingleFlight[str, str], computation: Computation
) -> None:
    callers = [asyncio.create_task(flights.run_many(["a"], computation)) for _ in range(3)]
    await settle()
    for caller in callers:
        caller.cancel("too slow")
    # It asks after the last one has gone and before the computation has ended: no flight to board.
    newcomer = asyncio.create_task(flights.run_many(["a"], computation))
    await settle()
    assert computation.cancelled_by == [("too slow",)]
    computation.gate.set()
    assert await newcomer == ["A"]


async def test_a_caller_who_leaves_as_the_computation_begins_leaves_nothing_behind(
    flights: SingleFlight[str, str], computation: Computation
) -> None:
    caller = asyncio.create_task(flights.run_many(["a"], computation))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await settle()
    assert flights.in_flight == 0
    assert len(computation.cancelled_by) == len(computation.batches)


async def test_everyone_who_waits_gets_the_error_and_the_next_one_a_new_try(
    flights: SingleFlight[str, str], computation: Computation
) -> None:
    computation.error = ZeroDivisionError()
    callers = [asyncio.create_task(flights.run_many(["a"], computation)) for _ in range(3)]
    await settle()
    computation.gate.set()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(end, ZeroDivisionError) for end in ends)
    computation.error = None
    assert await flights.run_many(["a"], computation) == ["A"]


async def test_an_error_ends_a_call_without_waiting_for_its_other_flights(
    flights: SingleFlight[str, str], computation: Computation
) -> None:
    async def broken(_keys: Sequence[str]) -> list[str]:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    slow = asyncio.create_task(flights.run_many(["a"], computation))
    await settle()
    with pytest.raises(ZeroDivisionError):
        await flights.run_many(["a", "b"], broken)
    computation.gate.set()
    assert await slow == ["A"]


async def test_a_wrong_number_of_values_is_an_error(flights: SingleFlight[str, str]) -> None:
    async def short(keys: Sequence[str]) -> list[str]:
        return list(keys)[1:]

    with pytest.raises(ValueError, match="zip"):
        await flights.run_many(["a", "b"], short)


async def test_the_context_can_be_other_than_the_first_callers() -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")
    request.set("first")

    async def who() -> str:
        return request.get()

    inheriting: SingleFlight[str, str] = SingleFlight()
    assert await inheriting.run("a", who) == "first"
    neutral: SingleFlight[str, str] = SingleFlight(context=contextvars.Context)
    assert await neutral.run("a", who) == "none"


async def test_closing_refuses_who_waits(flights: SingleFlight[str, str], computation: Computation) -> None:
    caller = asyncio.create_task(flights.run_many(["a"], computation))
    await settle()
    await flights.close()
    with pytest.raises(LoadShed):
        await caller
    await flights.close()
    assert flights.in_flight == 0
