from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from advanced_rag.exceptions import BulkheadFull
from advanced_rag.resilience.bulkhead import Bulkhead, BulkheadValues
from advanced_rag.resilience.deadline import deadline_scope
from advanced_rag.resilience.listener import Rejection
from tests.fakes.resilience_listener import RecordingListener
from tests.fakes.virtual_time import run_virtually

Clock = Callable[[], float]


class Held:
    """Calls that hold their permit until they are told to end."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.bulkhead = bulkhead
        self.entered: list[int] = []
        self.ends: dict[int, asyncio.Event] = {}

    def start(self, number: int) -> asyncio.Task[None]:
        self.ends[number] = asyncio.Event()
        return asyncio.create_task(self.bulkhead.run(lambda: self.hold(number)))

    async def hold(self, number: int) -> None:
        self.entered.append(number)
        await self.ends[number].wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def idle(bulkhead: Bulkhead) -> bool:
    return bulkhead.in_flight == 0 and bulkhead.waiting == 0 and bulkhead.available == bulkhead.values.permits


@pytest.mark.req("R2.2")
def test_too_many_waiters_are_refused_at_once_and_late_ones_when_their_wait_is_over() -> None:
    async def main(clock: Clock) -> None:
        listener = RecordingListener()
        bulkhead = Bulkhead("lane", BulkheadValues(permits=2, max_waiters=3, max_wait_s=0.5), listener=listener)
        held = Held(bulkhead)
        tasks = [held.start(number) for number in range(6)]
        await settle()
        assert (bulkhead.in_flight, bulkhead.waiting) == (2, 3)
        with pytest.raises(BulkheadFull):
            await tasks[5]
        assert clock() == 0.0
        for waiter in tasks[2:5]:
            with pytest.raises(BulkheadFull):
                await waiter
        assert clock() == pytest.approx(0.5)
        assert listener.rejections == [Rejection.CROWDED, *[Rejection.WAITED] * 3]
        for event in held.ends.values():
            event.set()
        await asyncio.gather(*tasks[:2])
        assert idle(bulkhead)
        assert listener.in_flight == [1, 2, 1, 0]

    run_virtually(main)


@pytest.mark.req("R2.2")
def test_a_permit_goes_to_the_oldest_live_waiter_and_never_to_a_newcomer() -> None:
    async def main(_: Clock) -> None:
        bulkhead = Bulkhead("lane", BulkheadValues(permits=1, max_waiters=10, max_wait_s=60))
        held = Held(bulkhead)
        tasks = {0: held.start(0)}
        await settle()
        for number in (1, 2, 3):
            tasks[number] = held.start(number)
            await settle()
        tasks[1].cancel()
        held.ends[0].set()
        tasks[4] = held.start(4)
        for number in (2, 3, 4):
            await settle()
            assert held.entered[-1] == number
            assert bulkhead.in_flight == 1
            held.ends[number].set()
        await settle()
        assert held.entered == [0, 2, 3, 4]
        assert idle(bulkhead)

    run_virtually(main)


@pytest.mark.req("R2.2")
def test_nobody_waits_into_the_last_fifty_milliseconds_of_the_deadline() -> None:
    async def main(clock: Clock) -> None:
        bulkhead = Bulkhead("lane", BulkheadValues(permits=1, max_waiters=10, max_wait_s=0.5))
        held = Held(bulkhead)
        first = held.start(0)
        await settle()
        with deadline_scope(0.25, clock=clock), pytest.raises(BulkheadFull):
            await bulkhead.run(lambda: held.hold(1))
        assert clock() == pytest.approx(0.2)
        with deadline_scope(0.04, clock=clock), pytest.raises(BulkheadFull):
            await bulkhead.run(lambda: held.hold(1))
        assert clock() == pytest.approx(0.2)
        held.ends[0].set()
        await first

    run_virtually(main)


@pytest.mark.req("R2.3")
async def test_a_waiter_cancelled_in_the_moment_of_its_grant_passes_the_permit_on() -> None:
    bulkhead = Bulkhead("lane", BulkheadValues(permits=1, max_waiters=10, max_wait_s=60))
    held = Held(bulkhead)
    first, second, third = held.start(0), held.start(1), held.start(2)
    await settle()
    held.ends[0].set()
    await asyncio.sleep(0)
    assert first.done()  # the permit is the second's now, who has not run since
    assert held.entered == [0]
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await settle()
    assert held.entered == [0, 2]
    held.ends[2].set()
    await third
    assert idle(bulkhead)


class Crowd:
    """Callers who come, hold, leave and are cancelled at random, and what must hold of them at every moment."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.limit = self.dice.choice([1, 2, 5])
        self.bulkhead = Bulkhead("lane", BulkheadValues(permits=self.limit, max_waiters=8, max_wait_s=0.3))
        self.inside = 0
        self.holding: list[asyncio.Event] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def hold(self) -> None:
        self.inside += 1
        assert self.inside <= self.limit
        end = asyncio.Event()
        self.holding.append(end)
        try:
            await end.wait()
        finally:
            self.holding.remove(end)
            self.inside -= 1

    async def call(self) -> None:
        with suppress(BulkheadFull):
            await self.bulkhead.run(self.hold)

    async def step(self) -> None:
        """Several steps between two rounds of the loop are the interesting ones: most do not await."""
        match self.dice.randrange(6):
            case 0 | 1:
                task = asyncio.create_task(self.call())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            case 2 if self.holding:
                self.dice.choice(self.holding).set()
            case 3 if self.tasks:
                self.dice.choice(list(self.tasks)).cancel()
            case 4:
                await asyncio.sleep(0)
            case _:
                await asyncio.sleep(self.dice.choice([0.01, 0.1, 0.3]))
        assert self.bulkhead.in_flight <= self.limit

    async def leave(self) -> None:
        while self.tasks:
            for end in self.holding:
                end.set()
            await asyncio.sleep(0.1)


@pytest.mark.req("R2.3")
@pytest.mark.req("R2.6")
@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_random_steps_neither_lose_nor_make_a_permit(seed: int) -> None:
    async def main(_: Clock) -> None:
        crowd = Crowd(seed)
        for _step in range(10_000):
            await crowd.step()
        await crowd.leave()
        assert crowd.inside == 0
        assert idle(crowd.bulkhead)

    run_virtually(main)


@pytest.mark.req("R2.1")
def test_a_hung_lane_leaves_another_lanes_latency_alone() -> None:
    async def main(clock: Clock) -> None:
        values = BulkheadValues(permits=10, max_waiters=200, max_wait_s=0.5)
        semantic, sparse = Bulkhead("semantic", values), Bulkhead("sparse", values)
        held = Held(semantic)
        hung = [held.start(number) for number in range(50)]
        await settle()
        for _ in range(100):
            before = clock()
            await sparse.run(lambda: asyncio.sleep(0.002))
            assert clock() - before == pytest.approx(0.002)
        for task in hung:
            task.cancel()
        await asyncio.gather(*hung, return_exceptions=True)
        assert idle(semantic)
        assert idle(sparse)

    run_virtually(main)


def test_without_a_permit_there_is_no_bulkhead() -> None:
    with pytest.raises(ValueError, match="permit"):
        BulkheadValues(permits=0, max_waiters=1, max_wait_s=1)
