from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from advanced_rag.exceptions import DeadlineExceeded, DependencyTimeout
from advanced_rag.resilience.deadline import (
    WithinDeadline,
    current_deadline,
    deadline_scope,
    remaining_s,
    without_deadline,
)
from tests.fakes.clock import FakeClock
from tests.fakes.virtual_time import run_virtually

Clock = Callable[[], float]


async def hang() -> None:
    await asyncio.sleep(3600)


async def answer() -> str:
    return "answer"


@pytest.mark.req("R3.2")
def test_the_deadline_is_an_instant_that_comes_nearer() -> None:
    clock = FakeClock()
    assert remaining_s() == float("inf")
    with deadline_scope(6.0, clock=clock) as deadline:
        assert current_deadline() is deadline
        clock.advance(5.0)
        assert remaining_s() == 1.0
        clock.advance(2.0)
        assert remaining_s() == -1.0
    assert current_deadline() is None


@pytest.mark.req("R3.2")
def test_an_inner_scope_can_only_bring_it_nearer() -> None:
    clock = FakeClock()
    with deadline_scope(6.0, clock=clock):
        with deadline_scope(60.0, clock=clock):
            assert remaining_s() == 6.0
        with deadline_scope(1.0, clock=clock):
            assert remaining_s() == 1.0
        with without_deadline():
            assert remaining_s() == float("inf")
        assert remaining_s() == 6.0


@pytest.mark.req("R3.2")
async def test_a_task_inherits_the_deadline_of_its_maker() -> None:
    async def left_s() -> float:
        return remaining_s()

    with deadline_scope(6.0, clock=FakeClock()):
        task = asyncio.create_task(left_s())
    assert await task == 6.0


@pytest.mark.req("R3.4")
def test_a_call_ends_with_the_deadline_and_leaves_nothing_running() -> None:
    async def main(clock: Clock) -> None:
        ended = asyncio.Event()

        async def call() -> None:
            try:
                await hang()
            finally:
                ended.set()

        with deadline_scope(0.3, clock=clock), pytest.raises(DeadlineExceeded) as over:
            await WithinDeadline("llm", clock=clock).run(call)
        assert clock() == pytest.approx(0.3)
        assert over.value.stage == "llm"
        assert ended.is_set()

    run_virtually(main)


@pytest.mark.req("R3.3")
async def test_with_less_than_fifty_milliseconds_left_nothing_is_called() -> None:
    layer = WithinDeadline("database")
    with deadline_scope(0.049, clock=FakeClock()), pytest.raises(DeadlineExceeded):
        await layer.run(answer)
    with deadline_scope(0.051, clock=FakeClock()):
        assert await layer.run(answer) == "answer"


async def test_without_a_deadline_the_call_takes_its_time() -> None:
    assert await WithinDeadline("database").run(answer) == "answer"


def test_a_limit_of_the_calls_own_blames_the_dependency_while_the_request_has_time() -> None:
    async def main(clock: Clock) -> None:
        layer = WithinDeadline("database", total_s=0.5, clock=clock)
        with pytest.raises(DependencyTimeout):
            await layer.run(hang)
        with deadline_scope(6.0, clock=clock), pytest.raises(DependencyTimeout):
            await layer.run(hang)
        with deadline_scope(0.2, clock=clock), pytest.raises(DeadlineExceeded):
            await layer.run(hang)
        assert clock() == pytest.approx(1.2)
        assert await layer.run(answer) == "answer"

    run_virtually(main)


async def test_a_timeout_of_the_drivers_own_keeps_its_name() -> None:
    async def driver() -> None:
        raise TimeoutError("the driver's")

    with deadline_scope(6.0), pytest.raises(TimeoutError, match="driver"):
        await WithinDeadline("database").run(driver)
