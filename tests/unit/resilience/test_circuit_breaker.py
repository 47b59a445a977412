from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest

from advanced_rag.exceptions import CircuitOpen, DependencyError, NotFound
from advanced_rag.resilience.circuit_breaker import (
    CUT_OFF,
    BreakerSnapshot,
    BreakerState,
    BreakerValues,
    CircuitBreaker,
    Permit,
)
from advanced_rag.resilience.listener import Transition
from advanced_rag.resilience.outcomes import Outcome
from tests.fakes.clock import FakeClock
from tests.fakes.resilience_listener import RecordingListener

NO_JITTER = BreakerValues(open_jitter=0.0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def breaker(clock: FakeClock, listener: RecordingListener) -> CircuitBreaker:
    return made(NO_JITTER, clock, listener)


def made(values: BreakerValues, clock: FakeClock, listener: RecordingListener) -> CircuitBreaker:
    return CircuitBreaker("milvus.semantic", values, random=Random(1), listener=listener, clock=clock)


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.acquire().failure(0.1)


def succeed(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.acquire().success(0.01)


def assert_state(breaker: CircuitBreaker, state: BreakerState) -> None:
    assert breaker.state is state


def opened(breaker: CircuitBreaker) -> None:
    fail(breaker, 10)
    assert_state(breaker, BreakerState.OPEN)


def refusal(breaker: CircuitBreaker) -> float | None:
    with pytest.raises(CircuitOpen) as refused:
        breaker.acquire()
    return refused.value.retry_after_s


@pytest.mark.req("R1.3")
def test_ten_failures_in_a_row_open_it(breaker: CircuitBreaker, listener: RecordingListener) -> None:
    fail(breaker, 9)
    assert_state(breaker, BreakerState.CLOSED)
    fail(breaker)
    assert_state(breaker, BreakerState.OPEN)
    (transition,) = listener.transitions
    assert (transition.before, transition.after) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert (transition.calls, transition.failures, transition.unanswered_in_a_row) == (10, 10, 10)
    assert transition.open_s == 5.0


@pytest.mark.req("R1.3")
def test_a_quiet_dependency_opens_it_too(breaker: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(10):
        fail(breaker)
        clock.advance(29)
    assert_state(breaker, BreakerState.OPEN)


@pytest.mark.req("R1.2")
def test_last_nights_failures_do_not_count_today(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 9)
    clock.advance(8 * 3600)
    fail(breaker, 9)
    assert_state(breaker, BreakerState.CLOSED)
    assert breaker.snapshot().calls == 9


@pytest.mark.req("R1.3")
def test_an_answer_breaks_the_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 9)
    succeed(breaker)
    fail(breaker, 9)
    assert breaker.snapshot().unanswered_in_a_row == 9


@pytest.mark.req("R1.3")
def test_eighty_percent_of_twenty_calls_open_it_and_not_one_call_less(breaker: CircuitBreaker) -> None:
    for _ in range(4):
        succeed(breaker)
        fail(breaker, 4)
    # 5, 10 and 15 calls had the ratio too, but not the minimum.
    assert breaker.snapshot() == BreakerSnapshot(BreakerState.OPEN, 1, 0, 0, 0, 0, 5.0)


@pytest.mark.req("R1.3")
def test_seventy_five_percent_of_failures_are_borne(breaker: CircuitBreaker) -> None:
    for _ in range(100):
        succeed(breaker)
        fail(breaker, 3)
    assert_state(breaker, BreakerState.CLOSED)


@pytest.mark.req("R1.4")
def test_slow_answers_open_it_though_they_are_no_failures(clock: FakeClock, listener: RecordingListener) -> None:
    breaker = made(replace(NO_JITTER, slow_s=0.5), clock, listener)
    for _ in range(20):
        breaker.acquire().success(0.5)
    assert_state(breaker, BreakerState.CLOSED)  # exactly the limit is not longer than the limit
    for _ in range(80):
        breaker.acquire().success(0.51)
    assert_state(breaker, BreakerState.OPEN)
    assert listener.transitions[0].failures == 0
    assert listener.transitions[0].slow == 80


@pytest.mark.req("R1.4")
def test_a_lane_that_is_merely_slow_stays_closed(breaker: CircuitBreaker) -> None:
    for _ in range(100):
        breaker.acquire().success(4.9)
    assert_state(breaker, BreakerState.CLOSED)


@pytest.mark.req("R3.5")
def test_a_lane_that_is_always_cut_off_opens_after_ten_calls(breaker: CircuitBreaker) -> None:
    for _ in range(9):
        breaker.acquire().cut_off(1.0)
    assert breaker.snapshot().slow == 9
    assert breaker.snapshot().failures == 0
    breaker.acquire().cut_off(1.0)
    assert_state(breaker, BreakerState.OPEN)


@pytest.mark.req("R1.2")
def test_only_the_last_hundred_calls_count(breaker: CircuitBreaker) -> None:
    succeed(breaker, 500)
    for _ in range(40):
        fail(breaker, 2)
        succeed(breaker)
    snapshot = breaker.snapshot()
    assert snapshot.calls == 100
    assert snapshot.failures == 66


@pytest.mark.req("R1.5")
def test_while_open_it_refuses_and_says_for_how_long(breaker: CircuitBreaker, clock: FakeClock) -> None:
    opened(breaker)
    assert refusal(breaker) == 5.0
    clock.advance(3.0)
    assert refusal(breaker) == 2.0
    assert breaker.snapshot().retry_after_s == 2.0


@pytest.mark.req("R1.5")
def test_each_half_open_that_fails_doubles_the_open_time_up_to_thirty_seconds(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    opened(breaker)
    waits = []
    for _ in range(5):
        wait_s = refusal(breaker)
        assert wait_s is not None
        waits.append(wait_s)
        clock.advance(wait_s)
        fail(breaker)
    assert waits == [5.0, 10.0, 20.0, 30.0, 30.0]


@pytest.mark.req("R1.5")
def test_the_open_time_is_spread_by_a_fifth(clock: FakeClock, listener: RecordingListener) -> None:
    waits = []
    breaker = made(BreakerValues(), clock, listener)
    for _ in range(200):
        opened(breaker)
        wait_s = refusal(breaker)
        assert wait_s is not None
        waits.append(wait_s)
        breaker.force_close()
    assert 4.0 <= min(waits) < 4.1
    assert 5.9 < max(waits) <= 6.0


@pytest.mark.req("R1.5")
def test_a_window_spent_closed_resets_the_doubling_and_less_does_not(breaker: CircuitBreaker, clock: FakeClock) -> None:
    opened(breaker)
    clock.advance(5.0)
    fail(breaker)
    clock.advance(10.0)
    succeed(breaker, 3)
    clock.advance(29.9)
    opened(breaker)
    assert refusal(breaker) == 10.0
    clock.advance(10.0)
    succeed(breaker, 3)
    clock.advance(30.0)
    opened(breaker)
    assert refusal(breaker) == 5.0


@pytest.mark.req("R1.9")
def test_a_retry_after_of_the_dependency_is_a_floor_for_the_open_time(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    breaker.acquire().failure(0.1, retry_after_s=12.0)
    clock.advance(1.0)
    fail(breaker, 9)
    assert refusal(breaker) == 11.0
    clock.advance(10.9)
    breaker.hint_healthy()
    assert_state(breaker, BreakerState.OPEN)
    clock.advance(0.1)
    breaker.acquire()


@pytest.mark.req("R1.6")
def test_half_open_is_entered_by_the_first_call_after_the_open_time_and_lets_three_through(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    opened(breaker)
    clock.advance(5.0)
    assert_state(breaker, BreakerState.OPEN)
    probes = [breaker.acquire() for _ in range(3)]
    assert_state(breaker, BreakerState.HALF_OPEN)
    assert refusal(breaker) == 1.0
    probes[0].ignore()
    breaker.acquire()
    assert refusal(breaker) == 1.0


@pytest.mark.req("R1.6")
def test_three_quick_successes_close_it_with_an_empty_window(breaker: CircuitBreaker, clock: FakeClock) -> None:
    opened(breaker)
    clock.advance(5.0)
    succeed(breaker, 2)
    assert_state(breaker, BreakerState.HALF_OPEN)
    succeed(breaker)
    assert_state(breaker, BreakerState.CLOSED)
    assert breaker.snapshot().calls == 0


@pytest.mark.req("R1.6")
@pytest.mark.parametrize("end", ["failure", "cut_off"])
def test_one_bad_probe_opens_it_again(breaker: CircuitBreaker, clock: FakeClock, end: str) -> None:
    opened(breaker)
    clock.advance(5.0)
    succeed(breaker, 2)
    getattr(breaker.acquire(), end)(0.1)
    assert_state(breaker, BreakerState.OPEN)
    assert refusal(breaker) == 10.0


@pytest.mark.req("R1.6")
def test_one_slow_probe_opens_it_again(clock: FakeClock, listener: RecordingListener) -> None:
    breaker = made(replace(NO_JITTER, slow_s=0.5), clock, listener)
    opened(breaker)
    clock.advance(5.0)
    breaker.acquire().success(0.6)
    assert_state(breaker, BreakerState.OPEN)


@pytest.mark.req("R1.6")
def test_a_probe_that_never_comes_back_counts_as_failed(
    breaker: CircuitBreaker, clock: FakeClock, listener: RecordingListener
) -> None:
    opened(breaker)
    clock.advance(5.0)
    leaked = breaker.acquire(probe_limit_s=4.0)
    breaker.acquire(probe_limit_s=60.0)
    clock.advance(3.9)
    assert breaker.snapshot().state is BreakerState.HALF_OPEN
    clock.advance(0.1)
    assert refusal(breaker) == 10.0
    leaked.success(4.2)
    assert listener.path == ["open", "half_open", "open"]


@pytest.mark.req("R1.7")
def test_an_outcome_of_an_older_generation_changes_nothing_but_is_heard(
    breaker: CircuitBreaker, clock: FakeClock, listener: RecordingListener
) -> None:
    late = [breaker.acquire() for _ in range(20)]
    opened(breaker)
    clock.advance(5.0)
    succeed(breaker, 2)
    for permit in late[:10]:
        permit.failure(5.0)
    assert_state(breaker, BreakerState.HALF_OPEN)
    succeed(breaker)
    for permit in late[10:]:
        permit.failure(5.0)
    assert breaker.snapshot() == BreakerSnapshot(BreakerState.CLOSED, 3, 0, 0, 0, 0, 0.0)
    assert listener.outcomes[Outcome.FAILURE] == 30


@pytest.mark.req("R1.8")
def test_a_hint_lets_probes_through_after_a_second_and_closes_nothing(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    breaker.hint_healthy()
    assert_state(breaker, BreakerState.CLOSED)
    opened(breaker)
    clock.advance(0.9)
    breaker.hint_healthy()
    assert_state(breaker, BreakerState.OPEN)
    clock.advance(0.1)
    breaker.hint_healthy()
    assert_state(breaker, BreakerState.HALF_OPEN)
    succeed(breaker, 3)
    assert_state(breaker, BreakerState.CLOSED)


@pytest.mark.req("R1.1")
def test_forced_open_it_stays_open_until_it_is_forced_closed(
    breaker: CircuitBreaker, clock: FakeClock, listener: RecordingListener
) -> None:
    breaker.force_open()
    breaker.force_open()
    clock.advance(1e6)
    breaker.hint_healthy()
    assert refusal(breaker) == 30.0
    breaker.force_close()
    breaker.acquire()
    assert listener.path == ["open", "closed"]


@pytest.mark.req("R1.11")
def test_the_first_end_of_a_permit_counts_and_no_other(breaker: CircuitBreaker, listener: RecordingListener) -> None:
    permit = breaker.acquire()
    permit.success(0.1)
    permit.failure(0.1)
    permit.ignore()
    assert breaker.snapshot().failures == 0
    assert len(listener.attempts) == 1


@pytest.mark.req("R1.11")
async def test_the_helpers_map_what_is_raised(breaker: CircuitBreaker, listener: RecordingListener) -> None:
    with breaker.call() as permit:
        assert isinstance(permit, Permit)
    async with breaker.call():
        pass
    for error in (DependencyError("milvus"), NotFound("gone"), TypeError("bug")):
        with pytest.raises(type(error)):
            async with breaker.call():
                raise error
    with pytest.raises(DependencyError), breaker.call():
        raise DependencyError("milvus")
    assert listener.outcomes == {Outcome.SUCCESS: 3, Outcome.FAILURE: 2, Outcome.IGNORED: 1}


@pytest.mark.req("R1.11")
@pytest.mark.parametrize(("message", "outcome"), [(None, Outcome.IGNORED), (CUT_OFF, Outcome.CUT_OFF)])
async def test_cancellation_is_passed_on_and_counts_only_as_a_cut_off(
    breaker: CircuitBreaker, listener: RecordingListener, message: str | None, outcome: Outcome
) -> None:
    async def hang() -> None:
        async with breaker.call():
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel(message)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert listener.outcomes == {outcome: 1}


@pytest.mark.req("R1.10")
def test_a_listener_may_use_the_breaker_and_hears_everything_in_order(clock: FakeClock) -> None:
    class Meddler(RecordingListener):
        def on_transition(self, transition: Transition) -> None:
            super().on_transition(transition)
            watched.snapshot()
            if len(self.transitions) == 1:
                watched.force_close()  # its event must come after this one, not inside it
                assert len(self.transitions) == 1

    meddler = Meddler()
    watched = made(NO_JITTER, clock, meddler)
    watched.force_open()
    assert meddler.path == ["open", "closed"]


@pytest.mark.req("R1.10")
def test_a_listener_that_fails_harms_neither_the_call_nor_the_next_event(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(RecordingListener):
        def on_transition(self, transition: Transition) -> None:
            super().on_transition(transition)
            raise RuntimeError("metrics are gone")

    broken = Broken()
    breaker = made(NO_JITTER, clock, broken)
    breaker.force_open()
    breaker.force_close()
    assert broken.path == ["open", "closed"]
    assert "milvus.semantic" in caplog.text
