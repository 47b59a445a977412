"""Blocking or CPU-bound work in threads of its own, one sized pool a kind of work, never the loop's default executor.

A caller's timeout or cancellation frees the caller, not the thread: the permit is held until the thread has really
ended, so however many callers give up, no more than `threads` pieces of work ever run (reliability R2.5).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from advanced_rag.exceptions import BulkheadFull, ShuttingDown

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExecutorStats:
    """How full the pool is, and what became of the work since the start."""

    threads: int
    running: int
    abandoned: int
    """Of those running: nobody waits for them any more."""
    waiting: int
    finished: int
    rejected: int
    timed_out: int


class AsyncExecutor:
    """`threads` threads for one kind of work, and a bounded, first-come-first-served queue before them.

    Belongs to one event loop. The interpreter waits for threads at exit: work must end by itself.
    """

    def __init__(self, name: str, *, threads: int, max_waiting: int, timeout_s: float | None = None) -> None:
        self.name = name
        self.threads = threads
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._permits = asyncio.Semaphore(threads)
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._running = self._awaited = self._waiting = 0
        self._finished = self._rejected = self._timed_out = 0

    def stats(self) -> ExecutorStats:
        """Saturation, now."""
        return ExecutorStats(
            threads=self.threads,
            running=self._running,
            abandoned=self._running - self._awaited,
            waiting=self._waiting,
            finished=self._finished,
            rejected=self._rejected,
            timed_out=self._timed_out,
        )

    async def run(self, work: Callable[[], T], *, timeout_s: float | None = None) -> T:
        """What `work` returns or raises, run in a thread with a copy of the caller's context variables.

        Args:
            work: may run on after this call has been cancelled or has timed out.
            timeout_s: waiting included; default: the executor's own.

        Raises:
            BulkheadFull: too many wait already.
            ShuttingDown: the executor is closing.
            TimeoutError: no result in time.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        scope = asyncio.timeout(limit_s)
        try:
            async with scope:
                await self._acquire()
                return await self._in_thread(work)
        except TimeoutError as error:
            if not scope.expired():
                raise
            self._timed_out += 1
            raise TimeoutError(f"{self.name}: no result within {limit_s:g} s") from error

    async def gather(self, works: Iterable[Callable[[], T]], *, limit: int | None = None) -> list[T]:
        """All results in order, at most `limit` (default: one a thread) at once; the first error ends the rest."""
        calls = (partial(self.run, work) for work in works)
        return await gather_bounded(calls, limit=self.threads if limit is None else limit)

    async def close(self, *, grace_s: float) -> int:
        """Refuse new work, let the running end for `grace_s` seconds; how many threads are still busy then.

        Calls that were waiting for a thread get ShuttingDown.
        """
        self._closing = True
        scope = asyncio.timeout(grace_s)
        try:
            async with scope:
                await self._idle.wait()
        except TimeoutError:
            if not scope.expired():
                raise
        self._pool.shutdown(wait=False, cancel_futures=True)
        return self._running

    async def _acquire(self) -> None:
        self._refuse_if_closing()
        if self._permits.locked() and self._waiting >= self._max_waiting:
            self._rejected += 1
            raise BulkheadFull(f"{self.name} is busy: every thread is taken")
        self._waiting += 1
        try:
            await self._permits.acquire()
        finally:
            self._waiting -= 1
        if self._closing:
            self._permits.release()
            self._refuse_if_closing()

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise ShuttingDown(f"{self.name} is shutting down")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """The permit is ours; from `submit` on it belongs to the thread."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        try:
            future = self._pool.submit(context.run, _returning, work)
        except BaseException:
            self._permits.release()
            raise
        self._running += 1
        self._idle.clear()
        future.add_done_callback(partial(self._thread_ended, loop))
        self._awaited += 1
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._awaited -= 1

    def _thread_ended(self, loop: asyncio.AbstractEventLoop, _future: Future[T]) -> None:
        """In the worker thread."""
        try:
            loop.call_soon_threadsafe(self._release)
        except RuntimeError:  # the loop was closed while the thread was busy: nobody counts any more
            return

    def _release(self) -> None:
        self._running -= 1
        self._finished += 1
        self._permits.release()
        if self._running == 0:
            self._idle.set()


def _returning(work: Callable[[], T]) -> T:
    try:
        return work()
    except StopIteration as error:  # a future refuses to carry it, and its waiter would wait for ever
        raise RuntimeError("the work raised StopIteration") from error


async def gather_bounded(calls: Iterable[Callable[[], Awaitable[T]]], *, limit: int) -> list[T]:
    """All results in order, at most `limit` calls at once; each is started only when there is room for it.

    The first error is raised as it is, after the other calls have been cancelled; cancelling this cancels them all.
    """
    results: dict[int, T] = {}
    numbered = enumerate(calls)

    async def work_off(share: Iterator[tuple[int, Callable[[], Awaitable[T]]]]) -> None:
        for position, call in share:
            results[position] = await call()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(work_off(numbered))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[position] for position in range(len(results))]
