"""One breaker under many threads and several event loops at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import suppress
from itertools import pairwise
from random import Random
from threading import Barrier, BrokenBarrierError, Lock, Thread

import pytest

from advanced_rag.exceptions import CircuitOpen, DependencyError
from advanced_rag.resilience.circuit_breaker import BreakerState, BreakerValues, CircuitBreaker, Permit
from advanced_rag.resilience.outcomes import Outcome
from tests.fakes.resilience_listener import RecordingListener

THREADS = 100
CALLS = 2_000
LEGAL = {
    (BreakerState.CLOSED, BreakerState.OPEN),
    (BreakerState.OPEN, BreakerState.HALF_OPEN),
    (BreakerState.HALF_OPEN, BreakerState.OPEN),
    (BreakerState.HALF_OPEN, BreakerState.CLOSED),
}
# Opens often and for a moment only, so that the threads go round all states again and again.
RESTLESS = BreakerValues(unanswered_in_a_row=10, open_s=0.0002, open_max_s=0.001, probe_limit_s=30.0)


class Callers:
    """What all threads do, and what they saw."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self.lock = Lock()
        self.ends: Counter[str] = Counter()
        self.out: Counter[int] = Counter()
        self.most_out: defaultdict[int, int] = defaultdict(int)
        self.probes_meet = Barrier(3)

    def work(self, seed: int) -> None:
        dice = Random(seed)
        ends: Counter[str] = Counter()
        for _ in range(CALLS):
            try:
                permit = self.breaker.acquire()
            except CircuitOpen:
                ends["refused"] += 1
                continue
            ends["acquired"] += 1
            self.count(permit, 1)
            if self.breaker.state is BreakerState.HALF_OPEN:
                self.meet()
            end = dice.choices(["success", "failure", "ignore"], weights=[5, 4, 1])[0]
            ends[end] += 1
            self.count(permit, -1)
            settle(permit, end)
        with self.lock:
            self.ends += ends

    def meet(self) -> None:
        """Until three are here: otherwise hardly ever more than one probe would be out."""
        try:
            self.probes_meet.wait(timeout=0.002)
        except BrokenBarrierError:
            self.probes_meet.reset()

    def count(self, permit: Permit, difference: int) -> None:
        with self.lock:
            self.out[permit.generation] += difference
            self.most_out[permit.generation] = max(self.most_out[permit.generation], self.out[permit.generation])


def settle(permit: Permit, end: str) -> None:
    match end:
        case "success":
            permit.success(0.0)
        case "failure":
            permit.failure(0.0)
        case _:
            permit.ignore()


@pytest.mark.req("R1.13")
@pytest.mark.req("R1.10")
@pytest.mark.timeout(60)
def test_a_hundred_threads_leave_the_books_balanced() -> None:
    listener = RecordingListener()
    breaker = CircuitBreaker("lane", RESTLESS, random=Random(1), listener=listener)
    callers = Callers(breaker)
    threads = [Thread(target=callers.work, args=(seed,), daemon=True) for seed in range(THREADS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10.0)  # R1.13: longer would be a deadlock
    assert not any(thread.is_alive() for thread in threads)
    print(f"{time.monotonic() - started:.1f} s, {len(listener.transitions)} transitions, {dict(callers.ends)}")

    ends = callers.ends
    assert ends["acquired"] + ends["refused"] == THREADS * CALLS
    assert ends["acquired"] == ends["success"] + ends["failure"] + ends["ignore"]
    heard = listener.outcomes
    assert heard[Outcome.SUCCESS] == ends["success"]
    assert heard[Outcome.FAILURE] == ends["failure"]
    assert heard[Outcome.IGNORED] == ends["ignore"]

    assert_legal(listener)
    half_open = {t.generation for t in listener.transitions if t.after is BreakerState.HALF_OPEN}
    assert len(half_open) > 5, "the threads hardly left the closed state: the test shows nothing"
    assert max(callers.most_out[generation] for generation in half_open) == 3


def assert_legal(listener: RecordingListener) -> None:
    events = listener.transitions
    assert [event.generation for event in events] == list(range(1, len(events) + 1))
    assert all(earlier.after is later.before for earlier, later in pairwise(events))
    assert {(event.before, event.after) for event in events} <= LEGAL


@pytest.mark.req("R1.13")
@pytest.mark.timeout(60)
def test_a_thousand_tasks_in_four_loops_share_one_breaker() -> None:
    listener = RecordingListener()
    breaker = CircuitBreaker("lane", RESTLESS, random=Random(2), listener=listener)
    refused: Counter[int] = Counter()

    async def attempt(dice: Random) -> None:
        await asyncio.sleep(0)
        if dice.random() < 0.5:
            raise DependencyError("lane")

    async def one_call(dice: Random, number: int) -> None:
        with suppress(DependencyError):
            try:
                async with breaker.call():
                    await attempt(dice)
            except CircuitOpen:
                refused[number] += 1

    async def one_loop(number: int) -> None:
        dice = Random(number)
        await asyncio.gather(*(one_call(dice, number) for _ in range(250)))

    threads = [Thread(target=lambda n=n: asyncio.run(one_loop(n)), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10.0)
    assert not any(thread.is_alive() for thread in threads)
    assert len(listener.attempts) + refused.total() == 1_000
    assert_legal(listener)
