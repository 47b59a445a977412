from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

import pytest

from advanced_rag.exceptions import (
    BulkheadFull,
    CircuitOpen,
    DeadlineExceeded,
    DependencyError,
    DependencyTimeout,
    DependencyUnavailable,
)
from advanced_rag.resilience.breaker_values import BreakerValues
from advanced_rag.resilience.bulkhead import Bulkhead, BulkheadValues
from advanced_rag.resilience.circuit_breaker import CUT_OFF, BreakerGate, BreakerState
from advanced_rag.resilience.deadline import WithinDeadline, deadline_scope
from advanced_rag.resilience.guard import Guard, GuardValues, Layer, build_guard
from advanced_rag.resilience.outcomes import Outcome
from advanced_rag.resilience.retry import Retry, RetryValues
from advanced_rag.resilience.timeout import AttemptTimeout
from tests.fakes.resilience_listener import RecordingListener
from tests.fakes.virtual_time import run_virtually

T = TypeVar("T")
Clock = Callable[[], float]

LANE = GuardValues(attempt_timeout_s=5.0, bulkhead=BulkheadValues(permits=10, max_waiters=200, max_wait_s=0.5))


@dataclass(frozen=True)
class Traced:
    """A layer that writes down when it is entered and left."""

    layer: Layer
    trace: list[str]

    async def run(self, call: Callable[[], Awaitable[T]], /) -> T:
        name = type(self.layer).__name__
        self.trace.append(f"enter {name}")
        try:
            return await self.layer.run(call)
        finally:
            self.trace.append(f"exit {name}")


def guard_with(listener: RecordingListener, clock: Clock) -> Guard:
    return build_guard("milvus.semantic", LANE, listener=listener, clock=clock, random=Random(1))


async def hang() -> None:
    await asyncio.sleep(3600)


async def answer() -> str:
    return "answer"


@pytest.mark.req("R3.1")
async def test_the_layers_are_entered_in_order_again_for_every_attempt() -> None:
    trace: list[str] = []
    guard = build_guard("milvus.semantic", LANE)
    traced = Guard(layers=tuple(Traced(layer, trace) for layer in guard.layers))
    attempts = [DependencyUnavailable("milvus"), None]

    async def call() -> str:
        trace.append("call")
        error = attempts.pop(0)
        if error is not None:
            raise error
        return "answer"

    with deadline_scope(6.0):
        assert await traced.run(call) == "answer"
    attempt = [
        *("enter Bulkhead", "enter BreakerGate", "enter AttemptTimeout", "call"),
        *("exit AttemptTimeout", "exit BreakerGate", "exit Bulkhead"),
    ]
    assert trace == [
        *("enter WithinDeadline", "enter Retry"),
        *attempt,
        *attempt,
        *("exit Retry", "exit WithinDeadline"),
    ]
    assert [type(layer) for layer in guard.layers] == [WithinDeadline, Retry, Bulkhead, BreakerGate, AttemptTimeout]


@pytest.mark.req("R3.1")
def test_no_permit_is_held_during_a_backoff() -> None:
    async def main(clock: Clock) -> None:
        listener = RecordingListener()
        guard = guard_with(listener, clock)
        assert guard.bulkhead is not None

        async def busy_then_ask() -> str:
            raise DependencyUnavailable("milvus", retry_after_s=1.0)

        call = asyncio.create_task(guard.run(busy_then_ask))
        await asyncio.sleep(0.5)
        assert guard.bulkhead.in_flight == 0
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    run_virtually(main)


@pytest.mark.req("R3.1")
def test_what_queued_while_the_breaker_opened_is_refused_and_not_sent() -> None:
    async def main(clock: Clock) -> None:
        listener = RecordingListener()
        guard = guard_with(listener, clock)
        sent = 0

        async def fail_late() -> None:
            nonlocal sent
            sent += 1
            await asyncio.sleep(0.1)
            raise DependencyError("milvus", transient=False)

        ends = await asyncio.gather(*(guard.run(fail_late) for _ in range(60)), return_exceptions=True)
        assert sent == 10
        assert sum(isinstance(end, CircuitOpen) for end in ends) == 50

    run_virtually(main)


@pytest.mark.req("R3.1")
@pytest.mark.req("R1.9")
def test_the_breaker_never_sees_a_bulkheads_refusal() -> None:
    async def main(clock: Clock) -> None:
        listener = RecordingListener()
        guard = guard_with(listener, clock)
        assert guard.breaker is not None
        held = [asyncio.create_task(guard.run(hang)) for _ in range(10)]
        await asyncio.sleep(0.1)
        refused = await asyncio.gather(*(guard.run(answer) for _ in range(30)), return_exceptions=True)
        assert all(isinstance(error, BulkheadFull) for error in refused)
        assert len(listener.rejections) == 30
        assert listener.attempts == []
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        assert listener.outcomes == {Outcome.IGNORED: 10}

    run_virtually(main)


@pytest.mark.req("R3.4")
def test_a_hang_ends_with_the_deadline_and_leaves_nothing_in_flight() -> None:
    async def main(clock: Clock) -> None:
        guard = guard_with(RecordingListener(), clock)
        assert guard.bulkhead is not None
        with deadline_scope(6.0, clock=clock), pytest.raises((DeadlineExceeded, DependencyTimeout)):
            await guard.run(hang)
        assert clock() <= 6.1
        assert guard.bulkhead.in_flight == 0

    run_virtually(main)


@pytest.mark.req("R1.9")
def test_a_hurried_callers_deadline_opens_no_breaker() -> None:
    async def main(clock: Clock) -> None:
        listener = RecordingListener()
        guard = guard_with(listener, clock)
        assert guard.breaker is not None
        for _ in range(30):
            with deadline_scope(0.5, clock=clock), pytest.raises(DeadlineExceeded):
                await guard.run(hang)
        assert guard.breaker.state is BreakerState.CLOSED
        assert listener.outcomes == {Outcome.IGNORED: 30}

    run_virtually(main)


@pytest.mark.req("R3.5")
def test_ten_cut_offs_open_a_lane_and_ten_plain_cancellations_do_not() -> None:
    async def main(clock: Clock) -> None:
        for message, state in ((None, BreakerState.CLOSED), (CUT_OFF, BreakerState.OPEN)):
            guard = guard_with(RecordingListener(), clock)
            assert guard.breaker is not None
            for _ in range(10):
                lane = asyncio.create_task(guard.run(hang))
                await asyncio.sleep(1.0)
                lane.cancel(message)
                await asyncio.gather(lane, return_exceptions=True)
            assert guard.breaker.state is state

    run_virtually(main)


def test_other_limits_share_permits_breaker_and_budget() -> None:
    async def main(clock: Clock) -> None:
        guard = build_guard("milvus.semantic", replace(LANE, retry=RetryValues(max_attempts=1)), clock=clock)
        writes = guard.limited(attempt_timeout_s=30.0)
        assert writes.breaker is guard.breaker
        assert writes.bulkhead is guard.bulkhead
        assert writes.layers[1] is guard.layers[1]
        started = clock()
        with pytest.raises(DependencyTimeout), deadline_scope(31.0, clock=clock):
            await writes.run(hang)
        assert clock() - started == pytest.approx(30.0)

        quick = guard.limited(attempt_timeout_s=0.45, total_s=0.5)
        started = clock()
        with pytest.raises(DependencyTimeout), deadline_scope(6.0, clock=clock):
            await quick.run(hang)
        assert clock() - started <= 0.5
        assert guard.breaker is not None
        assert guard.breaker.snapshot().failures == 2

    run_virtually(main)


@pytest.mark.req("R5.1")
def test_a_dependency_that_hangs_through_a_short_limit_of_our_own_opens_its_breaker() -> None:
    """The visibility look-up: half a second of the database's five, though the request has six."""

    async def main(clock: Clock) -> None:
        guard = guard_with(RecordingListener(), clock)
        assert guard.breaker is not None
        lookup = guard.limited(attempt_timeout_s=0.5, total_s=0.5)
        for _ in range(10):
            before = clock()
            with deadline_scope(6.0, clock=clock), pytest.raises(DependencyTimeout):
                await lookup.run(hang)
            assert clock() - before <= 0.5
        assert guard.breaker.state is BreakerState.OPEN

    run_virtually(main)


@pytest.mark.req("R1.6")
def test_a_probe_has_two_attempt_timeouts_before_it_counts_as_leaked() -> None:
    async def main(clock: Clock) -> None:
        guard = guard_with(RecordingListener(), clock)
        gate = guard.limited(attempt_timeout_s=30.0).layers[3]
        assert isinstance(gate, BreakerGate)
        assert gate.probe_limit_s == 60.0
        original = guard.layers[3]
        assert isinstance(original, BreakerGate)
        assert original.probe_limit_s == 10.0

    run_virtually(main)


async def test_a_guard_can_be_built_from_its_values_alone() -> None:
    values = GuardValues(1.0, BulkheadValues(1, 1, 0.1), breaker=BreakerValues(slow_s=0.5))
    assert await build_guard("redis", values).run(answer) == "answer"
