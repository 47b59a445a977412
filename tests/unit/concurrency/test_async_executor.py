from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from advanced_rag.concurrency.async_executor import AsyncExecutor, gather_bounded
from advanced_rag.exceptions import BulkheadFull, ShuttingDown

POLL_S = 0.005
PATIENCE_S = 5.0


class Work:
    """Work in threads that lasts until it is released, and counts how much of it runs at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.release = threading.Event()
        self.running = self.most = self.started = 0

    def __call__(self) -> str:
        with self.lock:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
        self.release.wait(PATIENCE_S)
        with self.lock:
            self.running -= 1
        return threading.current_thread().name


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(POLL_S)


@pytest.fixture
async def executor() -> AsyncIterator[AsyncExecutor]:
    executor = AsyncExecutor("embedding", threads=2, max_waiting=4)
    yield executor
    assert await executor.close(grace_s=PATIENCE_S) == 0
    stats = executor.stats()
    assert (stats.running, stats.abandoned, stats.waiting) == (0, 0, 0)


@pytest.fixture
def work() -> Work:
    return Work()


async def test_work_runs_in_a_thread_of_its_own_pool(executor: AsyncExecutor, work: Work) -> None:
    work.release.set()
    assert (await executor.run(work)).startswith("embedding")
    await until(lambda: executor.stats().finished == 1)


async def test_what_the_work_raises_is_raised(executor: AsyncExecutor) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    def exhausted() -> None:
        raise StopIteration

    with pytest.raises(ZeroDivisionError):
        await executor.run(broken)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await executor.run(exhausted)


async def test_context_variables_go_along_and_do_not_come_back(executor: AsyncExecutor) -> None:
    request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")
    request_id.set("r-1")

    def work() -> str:
        seen = request_id.get()
        request_id.set("r-2")
        return seen

    assert await executor.run(work) == "r-1"
    assert request_id.get() == "r-1"


@pytest.mark.req("R2.5")
async def test_a_hundred_cancelled_calls_never_run_more_than_the_limit() -> None:
    executor = AsyncExecutor("embedding", threads=2, max_waiting=100)
    work = Work()
    calls = [asyncio.create_task(executor.run(work)) for _ in range(100)]
    await until(lambda: work.running == 2)
    for call in calls:
        call.cancel()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)

    # Both threads are busy for nobody, and still hold their permits: the next call has to wait.
    assert (executor.stats().running, executor.stats().abandoned) == (2, 2)
    late = asyncio.create_task(executor.run(work))
    await asyncio.sleep(POLL_S)
    assert work.started == 2
    work.release.set()
    assert await late
    assert work.started == 3
    assert work.most == 2
    assert await executor.close(grace_s=PATIENCE_S) == 0


@pytest.mark.req("R2.5")
async def test_a_timeout_frees_the_caller_and_not_the_permit(executor: AsyncExecutor, work: Work) -> None:
    with pytest.raises(TimeoutError, match="embedding"):
        await executor.run(work, timeout_s=0.02)
    stats = executor.stats()
    assert (stats.running, stats.abandoned, stats.timed_out) == (1, 1, 1)
    work.release.set()
    await until(lambda: executor.stats().running == 0)


async def test_a_timeout_error_of_the_works_own_is_passed_on(executor: AsyncExecutor) -> None:
    def driver() -> None:
        raise TimeoutError("the driver's")

    with pytest.raises(TimeoutError, match="driver"):
        await executor.run(driver, timeout_s=PATIENCE_S)


@pytest.mark.req("R4.6")
async def test_a_full_queue_refuses_at_once(executor: AsyncExecutor, work: Work) -> None:
    calls = [asyncio.create_task(executor.run(work)) for _ in range(6)]
    await until(lambda: executor.stats().waiting == 4 and work.running == 2)
    with pytest.raises(BulkheadFull):
        await executor.run(work)
    assert executor.stats().rejected == 1
    work.release.set()
    assert len(await asyncio.gather(*calls)) == 6


async def test_the_event_loop_goes_on_while_threads_work(executor: AsyncExecutor, work: Work) -> None:
    call = asyncio.create_task(executor.run(work))
    ticks = 0
    while ticks < 50:
        await asyncio.sleep(0.001)
        ticks += 1
    assert not call.done()
    work.release.set()
    await call


async def test_closing_waits_for_the_running_and_refuses_the_waiting(work: Work) -> None:
    executor = AsyncExecutor("parsing", threads=1, max_waiting=4)
    running = asyncio.create_task(executor.run(work))
    await until(lambda: work.running == 1)
    waiting = asyncio.create_task(executor.run(work))
    await asyncio.sleep(0)
    closing = asyncio.create_task(executor.close(grace_s=PATIENCE_S))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await executor.run(work)
    work.release.set()
    assert await closing == 0
    assert await running
    with pytest.raises(ShuttingDown):
        await waiting


async def test_closing_gives_up_on_threads_that_do_not_end(work: Work) -> None:
    executor = AsyncExecutor("parsing", threads=1, max_waiting=4)
    running = asyncio.create_task(executor.run(work))
    await until(lambda: work.running == 1)
    started = time.monotonic()
    assert await executor.close(grace_s=0.05) == 1
    assert time.monotonic() - started < PATIENCE_S
    work.release.set()
    await running


async def test_gather_keeps_the_order_and_the_bound(executor: AsyncExecutor) -> None:
    running = most = 0
    lock = threading.Lock()

    def square(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1
        return number * number

    assert await executor.gather([partial(square, n) for n in range(40)]) == [n * n for n in range(40)]
    assert most <= 2
    assert await executor.gather([]) == []


async def test_the_first_error_of_a_gather_ends_the_rest_and_is_raised_as_it_is() -> None:
    started: list[int] = []

    async def call(number: int) -> int:
        started.append(number)
        if number == 3:
            raise ZeroDivisionError
        await asyncio.sleep(0 if number < 2 else 60)
        return number

    with pytest.raises(ZeroDivisionError):
        await gather_bounded([partial(call, n) for n in range(100)], limit=2)
    assert started == [0, 1, 2, 3]


async def test_a_cancelled_gather_cancels_its_calls() -> None:
    cancelled = 0

    async def call() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled += 1
            raise

    gathering = asyncio.create_task(gather_bounded([call] * 10, limit=3))
    for _ in range(3):
        await asyncio.sleep(0)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert cancelled == 3
