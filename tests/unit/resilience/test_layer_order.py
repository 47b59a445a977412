"""The figures that decided the order of the layers (reliability M17, M18), with the real classes in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest

from advanced_rag.exceptions import DependencyError, DependencyUnavailable, LoadShed
from advanced_rag.resilience.breaker_values import BreakerValues
from advanced_rag.resilience.bulkhead import BulkheadValues
from advanced_rag.resilience.guard import Guard, GuardValues, build_guard
from advanced_rag.resilience.retry import RetryValues
from tests.fakes.virtual_time import run_virtually

Clock = Callable[[], float]

CALLS_PER_S = 120
SECONDS = 30
NEVER = 10**9
UNBUDGETED = RetryValues(budget=1e9)


@dataclass
class Load:
    calls: int = 0
    answered: int = 0
    sent: int = 0


def lane(retry: RetryValues, breaker: BreakerValues, clock: Clock, seed: int) -> Guard:
    values = GuardValues(
        attempt_timeout_s=1.0,
        bulkhead=BulkheadValues(permits=10, max_waiters=20, max_wait_s=0.1),
        retry=retry,
        breaker=breaker,
    )
    return build_guard("milvus.semantic", values, clock=clock, random=Random(seed))


def retry_inside(guard: Guard) -> Guard:
    deadline, retry, bulkhead, breaker, timeout = guard.layers
    return Guard(layers=(deadline, bulkhead, breaker, retry, timeout))


def offered(
    dependency: Callable[[Random], float | None],
    *,
    retry: RetryValues,
    breaker: BreakerValues | None = None,
    inside: bool = False,
    calls_per_s: int = CALLS_PER_S,
    seconds: float = SECONDS,
    seed: int = 1,
) -> Load:
    """Open load on one lane. `dependency` gives the seconds until the answer, None for a refusal at once."""

    async def main(clock: Clock) -> Load:
        guard = lane(retry, breaker or BreakerValues(), clock, seed)
        if inside:
            guard = retry_inside(guard)
        load, dice = Load(), Random(seed)

        async def attempt() -> None:
            load.sent += 1
            answer_s = dependency(dice)
            if answer_s is None:
                raise DependencyUnavailable("milvus.semantic")
            await asyncio.sleep(answer_s)

        async def call() -> None:
            load.calls += 1
            try:
                await guard.run(attempt)
            except (DependencyError, LoadShed):
                return
            load.answered += 1

        tasks = []
        for _ in range(int(calls_per_s * seconds)):
            tasks.append(asyncio.create_task(call()))
            await asyncio.sleep(1 / calls_per_s)
        await asyncio.gather(*tasks)
        return load

    return run_virtually(main)


def hung(_: Random) -> float:
    return 3600.0


def refusing(_: Random) -> None:
    return None


def failing(share: float) -> Callable[[Random], float | None]:
    return lambda dice: None if dice.random() < share else 0.02


def success(load: Load) -> float:
    return 100 * load.answered / load.calls


@pytest.mark.req("R3.1")
@pytest.mark.parametrize("dependency", [hung, refusing])
def test_retry_outside_the_breaker_spares_a_dead_dependency(dependency: Callable[[Random], float | None]) -> None:
    outside = offered(dependency, retry=UNBUDGETED)
    inside = offered(dependency, retry=UNBUDGETED, inside=True)
    print(f"{dependency.__name__}: sent {outside.sent} outside, {inside.sent} inside")
    assert outside.sent <= 34  # M17
    assert inside.sent > 1.5 * outside.sent


@pytest.mark.req("R3.1")
@pytest.mark.req("R1.3")
def test_eighty_percent_lets_retries_mask_what_fifty_percent_would_cut_off() -> None:
    """M18: 45 % of attempts failing. The ratio alone is compared, without the rule of ten in a row."""
    at_80 = BreakerValues(unanswered_in_a_row=NEVER)
    at_50 = BreakerValues(unanswered_in_a_row=NEVER, failure_ratio=0.5)
    masked = success(offered(failing(0.45), retry=UNBUDGETED, breaker=at_80))
    cut_off = success(offered(failing(0.45), retry=UNBUDGETED, breaker=at_50))
    print(f"45 % failing: {masked:.0f} % answered at a threshold of 80 %, {cut_off:.0f} % at 50 %")
    assert masked >= 85
    assert cut_off <= 50


@pytest.mark.req("R3.1")
@pytest.mark.parametrize("inside", [False, True])
def test_twenty_percent_failing_is_masked_in_either_order(inside: bool) -> None:
    unbudgeted = success(offered(failing(0.2), retry=UNBUDGETED, inside=inside))
    budgeted = success(offered(failing(0.2), retry=RetryValues(), inside=inside))
    print(f"20 % failing: {unbudgeted:.0f} % answered, {budgeted:.0f} % with the budget")
    assert unbudgeted >= 98
    assert 85 <= budgeted <= 92  # the price of the budget, knowingly paid (R3.11)


@pytest.mark.req("R3.11")
def test_a_dead_dependency_gets_a_tenth_more_attempts_than_calls_and_with_the_breaker_hardly_any() -> None:
    no_breaker = BreakerValues(unanswered_in_a_row=NEVER, minimum_calls=NEVER)
    without = offered(refusing, retry=RetryValues(), breaker=no_breaker, calls_per_s=200, seconds=10)
    with_breaker = offered(refusing, retry=RetryValues(), calls_per_s=200, seconds=10)
    print(f"2,000 calls: {without.sent} attempts without a breaker, {with_breaker.sent} with one")
    assert without.calls == 2_000
    assert without.sent <= 2_210
    assert with_breaker.sent <= 150


@pytest.mark.req("R1.3")
def test_a_dependency_that_fails_a_fifth_of_the_time_never_opens_it() -> None:
    for seed in range(3):
        load = offered(failing(0.2), retry=RetryValues(max_attempts=1), seed=seed)
        assert load.sent == load.calls
