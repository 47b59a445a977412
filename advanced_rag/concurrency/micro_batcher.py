"""Micro-batching: small requests that come at the same time are worked off together.

An idle batcher starts at once. While a batch runs, requests gather for the next one; after a batch of several it
lingers for at most `max_wait_s`, because its callers are about to come back. Nobody waits for a timer otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from advanced_rag.concurrency.batch_queue import BatchLimits, BatchQueue, Entry, Priority
from advanced_rag.concurrency.places import Places
from advanced_rag.exceptions import (
    BulkheadFull,
    DeadlineExceeded,
    DependencyTimeout,
    DependencyUnavailable,
    LoadShed,
    ShuttingDown,
)

__all__ = ["BatchLimits", "BatchReport", "BatcherValues", "MicroBatcher", "Priority"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# One call fills at most this part of the queue at a time …
_CALL_SHARE: Final = {Priority.HIGH: 4, Priority.LOW: 8}
# … and all LOW items together this part: HIGH always finds the rest free.
_LOW_SHARE: Final = 2


@dataclass(frozen=True, slots=True)
class BatcherValues:
    """Sizes and waits. `max_running` batches at once, of which `max_running_low` of LOW items."""

    high: BatchLimits
    low: BatchLimits
    max_wait_s: float = 0.002
    max_queued: int = 256
    max_running: int = 1
    max_running_low: int = 1
    max_high_in_a_row: int = 4
    """While LOW items wait, so many HIGH batches may go before one of them."""
    max_waiting_calls: int = 256
    """Calls with LOW items that wait for room."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch as it was sent: its size, padded cost and priority, and how long its oldest item had waited."""

    items: int
    cost: int
    priority: Priority
    waited_s: float


def concerns_one_item(error: Exception) -> bool:
    """Whether a batch that failed so is worth trying again in parts: not when everything fails alike."""
    return not isinstance(error, LoadShed | DependencyTimeout | DependencyUnavailable | DeadlineExceeded)


class _Batch(Generic[Item, Result]):
    """One batch on its way."""

    __slots__ = ("entries", "given_up", "priority", "task")

    def __init__(self, entries: list[Entry[Item, Result]], priority: Priority) -> None:
        self.entries = entries
        self.priority = priority
        self.given_up = False
        self.task: asyncio.Task[None]


class MicroBatcher(Generic[Item, Result]):
    """Coalesces the items of concurrent calls into batches. Belongs to one event loop.

    Args:
        process: the work: as many results as items, in their order. Runs in the context in which the batcher was made,
            not in a caller's: no deadline or request id of one caller holds for the others.
        cost_of: length of an item (tokens, characters); cheap, it is called on the event loop.
        values: sizes and waits.
        splits: which errors of a batch are looked for in its halves, so that one bad item fails alone.
        observer: told of every batch before it is sent.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        cost_of: Callable[[Item], int],
        values: BatcherValues,
        splits: Callable[[Exception], bool] = concerns_one_item,
        observer: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._process = process
        self._cost_of = cost_of
        self._values = values
        self._splits = splits
        self._observer = observer
        self._context = copy_context()
        self._queues: dict[Priority, BatchQueue[Item, Result]] = {
            Priority.HIGH: BatchQueue(values.high, max_queued=values.max_queued),
            Priority.LOW: BatchQueue(values.low, max_queued=values.max_queued),
        }
        self._running: set[_Batch[Item, Result]] = set()
        self._room = Places(max(1, values.max_queued // _LOW_SHARE), max_waiting=values.max_waiting_calls)
        self._high_in_a_row = 0
        self._start: asyncio.Handle | None = None
        self._linger_until_queued = 0
        self._closed = False

    @property
    def queued(self) -> int:
        """Items waiting."""
        return sum(len(queue) for queue in self._queues.values())

    async def submit(self, items: Sequence[Item], *, priority: Priority = Priority.HIGH) -> list[Result]:
        """The results of `items` in order.

        A long call is fed to the queue in parts. Cancelling it takes its items out of the queue, and ends the batch
        that runs if all who waited for it are gone.

        Raises:
            BulkheadFull: HIGH: the queue is full; LOW: too many calls wait for room in it.
            ShuttingDown: the batcher was closed.
            Exception: what `process` raised for one of these items.
        """
        share = max(1, self._values.max_queued // _CALL_SHARE[priority])
        results: list[Result] = []
        for first in range(0, len(items), share):
            part = items[first : first + share]
            results.extend(await self._submit_part(part, priority))
        return results

    async def close(self, *, grace_s: float) -> None:
        """Refuse what comes and what waits; let the running batches end for `grace_s` seconds, then cancel them."""
        self._closed = True
        self._room.close()
        for queue in self._queues.values():
            for entry in queue.clear():
                _fail(entry, ShuttingDown("shutting down"))
        running = {batch.task for batch in self._running}
        if running:
            _, late = await asyncio.wait(running, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _submit_part(self, items: Sequence[Item], priority: Priority) -> list[Result]:
        await self._admit(len(items), priority)
        loop = asyncio.get_running_loop()
        now = loop.time()
        entries = [Entry(item, self._cost_of(item), loop.create_future(), now) for item in items]
        for entry in entries:
            self._queues[priority].append(entry)
        self._pump_soon()
        reason: object = None
        try:
            return [await entry.result for entry in entries]
        except asyncio.CancelledError as error:
            reason = next(iter(error.args), None)
            raise
        finally:
            self._abandon(entries, priority, reason)

    async def _admit(self, count: int, priority: Priority) -> None:
        self._refuse_if_closed()
        if priority is Priority.LOW:
            await self._room.enter(count)
            try:
                self._refuse_if_closed()  # again: that wait may have been long
            except ShuttingDown:
                self._room.leave(count)
                raise
        elif len(self._queues[Priority.HIGH]) + self._room.taken + count > self._values.max_queued:
            raise BulkheadFull("too many short requests are waiting")

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ShuttingDown("shutting down")

    def _abandon(self, entries: Sequence[Entry[Item, Result]], priority: Priority, reason: object) -> None:
        """The caller goes, with or without its results: nothing of it stays in the queue or runs for nobody."""
        unserved = {entry for entry in entries if entry.wanted or entry.result.cancelled()}
        for entry in entries:
            entry.result.cancel()
            if not entry.result.cancelled():
                entry.result.exception()  # asked for: the caller has got the error of one of the others
        if not unserved:
            return
        dropped = self._queues[priority].discard(unserved)
        if priority is Priority.LOW:
            self._room.leave(dropped)
        for batch in self._running:
            if not batch.given_up and not any(entry.wanted for entry in batch.entries):
                batch.given_up = True  # once: a second cancellation would break into its clearing up
                batch.task.cancel(reason)

    # Starting batches

    def _pump_soon(self) -> None:
        """Start what can be started once everything that is ready in this round of the loop has been submitted."""
        if self._linger_until_queued:
            if self.queued < self._linger_until_queued:
                return
            self._linger_until_queued = 0
            self._stop_timer()
        if self._start is None:
            self._start = asyncio.get_running_loop().call_soon(self._pump)

    def _stop_timer(self) -> None:
        if self._start is not None:
            self._start.cancel()
            self._start = None

    def _pump(self) -> None:
        self._start = None
        self._linger_until_queued = 0
        while len(self._running) < self._values.max_running:
            priority = self._next_priority()
            if priority is None:
                return
            entries = self._queues[priority].take()
            if priority is Priority.LOW:
                self._room.leave(len(entries))
                self._high_in_a_row = 0
            else:
                self._high_in_a_row = self._high_in_a_row + 1 if self._queues[Priority.LOW] else 0
            self._launch(_Batch(entries, priority))

    def _next_priority(self) -> Priority | None:
        high_waits = len(self._queues[Priority.HIGH]) > 0
        running_low = sum(batch.priority is Priority.LOW for batch in self._running)
        low_can_go = len(self._queues[Priority.LOW]) > 0 and running_low < self._values.max_running_low
        if low_can_go and (not high_waits or self._high_in_a_row >= self._values.max_high_in_a_row):
            return Priority.LOW
        return Priority.HIGH if high_waits else None

    def _launch(self, batch: _Batch[Item, Result]) -> None:
        if self._observer is not None:
            waited_s = asyncio.get_running_loop().time() - min(entry.queued_at for entry in batch.entries)
            cost = batch.entries[0].cost * len(batch.entries)
            self._observer(BatchReport(len(batch.entries), cost, batch.priority, waited_s))
        batch.task = asyncio.create_task(self._serve(batch.entries), context=self._context.copy())
        self._running.add(batch)
        batch.task.add_done_callback(lambda _: self._ended(batch))

    def _ended(self, batch: _Batch[Item, Result]) -> None:
        self._running.discard(batch)
        for entry in batch.entries:  # only where the batch was cancelled: everyone has gone, or we are closing
            _fail(entry, ShuttingDown("shutting down"))
        expected = len(batch.entries)
        if batch.priority is Priority.HIGH and expected > 1 and self.queued < expected and not self._closed:
            self._stop_timer()
            self._linger_until_queued = expected
            self._start = asyncio.get_running_loop().call_later(self._values.max_wait_s, self._pump)
        elif self.queued:
            self._pump_soon()

    # Serving one batch

    async def _serve(self, entries: Sequence[Entry[Item, Result]]) -> None:
        try:
            results = await self._results(entries)
        except Exception as error:  # noqa: BLE001  # handed to whoever waits
            await self._serve_halves(entries, error)
            return
        for entry, result in zip(entries, results, strict=True):
            if entry.wanted:
                entry.result.set_result(result)

    async def _results(self, entries: Sequence[Entry[Item, Result]]) -> Sequence[Result]:
        results = await self._process([entry.item for entry in entries])
        if len(results) != len(entries):
            raise ValueError(f"{len(results)} results for {len(entries)} items")
        return results

    async def _serve_halves(self, entries: Sequence[Entry[Item, Result]], error: Exception) -> None:
        wanted = [entry for entry in entries if entry.wanted]
        if len(entries) == 1 or not self._splits(error):
            for entry in wanted:
                _fail(entry, error)
            return
        middle = (len(wanted) + 1) // 2
        for half in (wanted[:middle], wanted[middle:]):
            if half:
                await self._serve(half)


def _fail(entry: Entry[Item, Result], error: Exception) -> None:
    if entry.wanted:
        entry.result.set_exception(error)
