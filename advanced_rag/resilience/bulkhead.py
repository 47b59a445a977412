"""Bulkhead: at most so many calls at once, so that one dependency's hang does not take the whole service with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from advanced_rag.exceptions import BulkheadFull
from advanced_rag.resilience.deadline import MIN_REMAINING_S, remaining_s
from advanced_rag.resilience.listener import NullListener, Rejection, ResilienceListener

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BulkheadValues:
    """How many run, how many may wait for a permit, and how long."""

    permits: int
    max_waiters: int
    max_wait_s: float

    def __post_init__(self) -> None:
        if self.permits < 1 or self.max_waiters < 0:
            raise ValueError("a bulkhead needs a permit, and no fewer than 0 waiters")


class Bulkhead:
    """Permits for one dependency and lane. Belongs to one event loop.

    First come, first served: a permit that is given back goes to the oldest waiter that is still there, never to a
    newcomer. A waiter that is cancelled in the very moment in which it is granted the permit passes it on. A permit
    ends with the awaited call: work that outlives its cancellation (threads) needs `concurrency.async_executor` inside.
    """

    def __init__(self, name: str, values: BulkheadValues, *, listener: ResilienceListener | None = None) -> None:
        self.name = name
        self.values = values
        self._listener: ResilienceListener = listener or NullListener()
        self._in_flight = 0
        # One more than may wait: `append` on a full deque would silently drop the oldest.
        self._waiters: deque[asyncio.Future[None]] = deque(maxlen=values.max_waiters + 1)

    @property
    def in_flight(self) -> int:
        """Permits held."""
        return self._in_flight

    @property
    def available(self) -> int:
        """Permits free."""
        return self.values.permits - self._in_flight

    @property
    def waiting(self) -> int:
        """Calls waiting for a permit."""
        return len(self._waiters)

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Raises BulkheadFull when too many wait already or no permit came in time, or whatever the call raises."""
        if self._in_flight < self.values.permits:  # free permits and waiters never stand side by side
            self._in_flight += 1
        else:
            await self._wait_for_permit()
        self._listener.on_in_flight(self.name, self._in_flight)
        try:
            return await call()
        finally:
            self._give_back()
            self._listener.on_in_flight(self.name, self._in_flight)

    async def _wait_for_permit(self) -> None:
        wait_s = min(self.values.max_wait_s, remaining_s() - MIN_REMAINING_S)
        if len(self._waiters) >= self.values.max_waiters or wait_s <= 0:
            self._listener.on_rejected(self.name, Rejection.CROWDED)
            raise BulkheadFull(f"{self.name} is busy: every permit is taken")
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(granted)
        scope = asyncio.timeout(wait_s)
        try:
            async with scope:
                try:
                    await granted
                except asyncio.CancelledError:
                    self._withdraw(granted)
                    raise
        except TimeoutError as error:
            self._listener.on_rejected(self.name, Rejection.WAITED)
            raise BulkheadFull(f"{self.name} is busy: no permit within {wait_s:g} s") from error

    def _withdraw(self, granted: asyncio.Future[None]) -> None:
        """The waiter is leaving: out of the queue, or, where it has the permit already, pass that on."""
        if granted.done() and not granted.cancelled():
            self._give_back()
        elif granted in self._waiters:
            self._waiters.remove(granted)

    def _give_back(self) -> None:
        while self._waiters:
            oldest = self._waiters.popleft()
            if not oldest.done():
                oldest.set_result(None)  # the permit changes hands: `in_flight` stays
                return
        self._in_flight -= 1
