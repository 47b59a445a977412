from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from advanced_rag.exceptions import DeadlineExceeded, DependencyTimeout
from advanced_rag.resilience.deadline import deadline_scope
from advanced_rag.resilience.timeout import AttemptTimeout
from tests.fakes.clock import FakeClock
from tests.fakes.virtual_time import run_virtually

Clock = Callable[[], float]


async def hang() -> None:
    await asyncio.sleep(3600)


@pytest.mark.req("R3.3")
def test_an_attempt_ends_at_its_limit_with_a_dependency_timeout() -> None:
    async def main(clock: Clock) -> None:
        with pytest.raises(DependencyTimeout) as late:
            await AttemptTimeout("milvus.semantic", 5.0).run(hang)
        assert late.value.dependency == "milvus.semantic"
        assert clock() == pytest.approx(5.0)

    run_virtually(main)


@pytest.mark.req("R3.7")
@pytest.mark.parametrize("transient", [True, False])
def test_whether_a_timeout_may_be_tried_again_is_what_was_said(transient: bool) -> None:
    async def main(_clock: Clock) -> None:
        with pytest.raises(DependencyTimeout) as late:
            await AttemptTimeout("database", 5.0, transient=transient).run(hang)
        assert late.value.transient is transient

    run_virtually(main)


@pytest.mark.req("R3.3")
def test_a_nearer_deadline_ends_it_twenty_milliseconds_early_and_blames_nobody() -> None:
    async def main(clock: Clock) -> None:
        with deadline_scope(2.0, clock=clock), pytest.raises(DeadlineExceeded):
            await AttemptTimeout("milvus.semantic", 5.0).run(hang)
        assert clock() == pytest.approx(1.98)

    run_virtually(main)


@pytest.mark.req("R3.3")
async def test_with_less_than_fifty_milliseconds_left_nothing_is_called() -> None:
    called = []

    async def call() -> None:
        called.append(1)

    with deadline_scope(0.049, clock=FakeClock()), pytest.raises(DeadlineExceeded):
        await AttemptTimeout("redis", 0.05).run(call)
    assert not called


async def test_a_timeout_of_the_drivers_own_keeps_its_name() -> None:
    async def driver() -> None:
        raise TimeoutError("the driver's")

    with pytest.raises(TimeoutError, match="driver"):
        await AttemptTimeout("database", 5.0).run(driver)


async def test_the_answer_is_passed_on() -> None:
    async def answer() -> int:
        return 7

    assert await AttemptTimeout("database", 5.0).run(answer) == 7
