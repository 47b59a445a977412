from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest

from advanced_rag.exceptions import (
    BulkheadFull,
    CircuitOpen,
    DeadlineExceeded,
    DependencyError,
    DependencyUnavailable,
    NotFound,
    ShuttingDown,
)
from advanced_rag.resilience import retry as retry_module
from advanced_rag.resilience.deadline import deadline_scope
from advanced_rag.resilience.outcomes import CUT_OFF
from advanced_rag.resilience.retry import Retry, RetryBudget, RetryValues
from tests.fakes.clock import FakeClock
from tests.fakes.resilience_listener import RecordingListener


class Sleeps:
    """Sleeps that take no time and are written down."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Script:
    """A dependency that does what the script says, the last line for ever."""

    def __init__(self, *lines: BaseException | str) -> None:
        self.lines = list(lines)
        self.attempts = 0

    async def __call__(self) -> str:
        self.attempts += 1
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, BaseException):
            raise line
        return line


def gone(**fields: float) -> DependencyError:
    return DependencyUnavailable("database", **fields)  # type: ignore[arg-type]  # test shorthand


def made(
    values: RetryValues | None = None,
    *,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    listener: RecordingListener | None = None,
    budget: RetryBudget | None = None,
    seed: int = 1,
) -> Retry:
    return Retry(
        "database",
        values or RetryValues(),
        random=Random(seed),
        sleep=sleep or Sleeps(),
        listener=listener,
        budget=budget,
    )


@pytest.mark.req("R3.6")
async def test_a_transient_failure_is_tried_again_until_it_answers() -> None:
    sleeps, listener, script = Sleeps(), RecordingListener(), Script(gone(), gone(), "answer")
    assert await made(sleep=sleeps, listener=listener).run(script) == "answer"
    assert script.attempts == 3
    assert [attempt for _, attempt, _, _ in listener.retries] == [1, 2]
    assert [slept for _, _, slept, _ in listener.retries] == sleeps.seconds


@pytest.mark.req("R3.6")
async def test_after_three_attempts_the_last_error_is_raised() -> None:
    last = gone()
    script = Script(gone(), gone(), last, "too late")
    with pytest.raises(DependencyUnavailable) as raised:
        await made().run(script)
    assert raised.value is last
    assert script.attempts == 3


@pytest.mark.req("R3.6")
@pytest.mark.parametrize("attempts", [1, 2])
async def test_the_number_of_attempts_is_a_value(attempts: int) -> None:
    script = Script(gone())
    with pytest.raises(DependencyUnavailable):
        await made(RetryValues(max_attempts=attempts)).run(script)
    assert script.attempts == attempts


@pytest.mark.req("R3.7")
@pytest.mark.parametrize(
    "error",
    [
        DependencyError("database", transient=False),
        BulkheadFull("busy"),
        CircuitOpen("database", retry_after_s=1),
        ShuttingDown("draining"),
        NotFound("gone"),
        DeadlineExceeded("database"),
        TypeError("bug"),
        asyncio.CancelledError(CUT_OFF),
    ],
    ids=repr,
)
@pytest.mark.parametrize("at", [1, 2])
async def test_everything_else_is_final_whichever_attempt_it_ends(error: BaseException, at: int) -> None:
    script = Script(*[gone()] * (at - 1), error)
    with pytest.raises(type(error)) as raised:
        await made().run(script)
    assert raised.value is error
    assert script.attempts == at


@pytest.mark.req("R3.6")
async def test_the_jitter_is_full_and_its_ceiling_doubles_up_to_a_second() -> None:
    values = RetryValues(max_attempts=9, budget=1e9)
    slept: list[list[float]] = [[] for _ in range(8)]
    for seed in range(300):
        sleeps = Sleeps()
        with pytest.raises(DependencyUnavailable):
            await made(values, sleep=sleeps, seed=seed).run(Script(gone()))
        for times, seconds in zip(slept, sleeps.seconds, strict=True):
            times.append(seconds)
    for times, ceiling in zip(slept, [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0], strict=True):
        assert max(times) <= ceiling
        assert max(times) > 0.9 * ceiling
        assert min(times) < 0.1 * ceiling


@pytest.mark.req("R3.6")
async def test_what_the_dependency_asks_for_is_a_floor() -> None:
    sleeps = Sleeps()
    await made(sleep=sleeps).run(Script(gone(retry_after_s=2.0), "answer"))
    assert sleeps.seconds == [2.0]


@pytest.mark.req("R3.6")
async def test_a_pause_longer_than_anyone_waits_is_not_begun() -> None:
    sleeps, script = Sleeps(), Script(gone(retry_after_s=3_600.0), "answer")
    with pytest.raises(DependencyUnavailable):
        await made(sleep=sleeps).run(script)
    assert (sleeps.seconds, script.attempts) == ([], 1)


@pytest.mark.req("R3.6")
async def test_no_retry_whose_sleep_and_fifty_milliseconds_do_not_fit_the_deadline() -> None:
    for left_s, attempts in ((2.04, 1), (2.06, 2)):
        script = Script(gone(retry_after_s=2.0), "answer")
        with deadline_scope(left_s, clock=FakeClock()), suppress(DependencyUnavailable):
            await made().run(script)
        assert script.attempts == attempts


@pytest.mark.req("R3.11")
async def test_the_budget_allows_ten_retries_and_one_more_for_ten_calls() -> None:
    script = Script(gone())
    budget = RetryBudget(capacity=10.0, per_call=0.1)
    retry = made(budget=budget)
    for _ in range(2_000):
        with pytest.raises(DependencyUnavailable):
            await retry.run(script)
    assert 2_190 <= script.attempts <= 2_210


@pytest.mark.req("R3.11")
async def test_guards_of_one_dependency_can_share_a_budget() -> None:
    budget = RetryBudget(capacity=1.0, per_call=0.0)
    first, second = Script(gone()), Script(gone())
    for retry, script in ((made(budget=budget), first), (made(budget=budget), second)):
        with pytest.raises(DependencyUnavailable):
            await retry.run(script)
    assert (first.attempts, second.attempts) == (2, 1)


async def test_a_first_attempt_that_answers_does_not_enter_tenacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "AsyncRetrying", None)
    assert await made().run(Script("answer")) == "answer"


async def test_cancelled_while_it_sleeps_it_ends_at_once() -> None:
    script = Script(gone(retry_after_s=20.0))
    task = asyncio.create_task(made(sleep=asyncio.sleep).run(script))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.attempts == 1
