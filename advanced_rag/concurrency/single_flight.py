"""Single flight: what several callers want at the same time is computed once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context, copy_context
from typing import Generic, TypeVar

from advanced_rag.exceptions import LoadShed

K = TypeVar("K")
V = TypeVar("V")


class _Flight(Generic[K, V]):
    """One computation on its way, and how many callers wait for it."""

    __slots__ = ("keys", "task", "waiters")

    def __init__(self, keys: Sequence[K]) -> None:
        self.keys = keys
        self.waiters = 0
        self.task: asyncio.Task[dict[K, V]]


class SingleFlight(Generic[K, V]):
    """One computation for each key at a time. Belongs to one event loop; remembers nothing that has landed.

    A computation belongs to no caller: it runs in a task of its own, in the context that `context` makes (by default a
    copy of the first caller's). It goes on while anyone waits for it; the cancellation of the last one cancels it.
    """

    def __init__(self, *, context: Callable[[], Context] = copy_context) -> None:
        self._context = context
        self._flights: dict[K, _Flight[K, V]] = {}

    @property
    def in_flight(self) -> int:
        """Keys being computed."""
        return len(self._flights)

    async def run(self, key: K, compute: Callable[[], Awaitable[V]]) -> V:
        """The value of `key`, computed by whoever asked first. Every waiter gets its error, too."""

        async def compute_only(_keys: Sequence[K]) -> Sequence[V]:
            return [await compute()]

        (value,) = await self.run_many([key], compute_only)
        return value

    async def run_many(self, keys: Sequence[K], compute: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> list[V]:
        """The values in order of `keys`, which may repeat; those that nobody computes yet go into one `compute`.

        `compute` is given distinct keys and returns as many values in their order. When it fails, everyone who waits
        for any of its keys gets the error.
        """
        if not keys:
            return []
        flights = self._board(keys, compute)
        for flight in flights:
            flight.waiters += 1
        reason: object = None
        try:
            await asyncio.wait([flight.task for flight in flights], return_when=asyncio.FIRST_EXCEPTION)
            return self._values(keys, flights)
        except asyncio.CancelledError as error:
            reason = next(iter(error.args), None)
            raise
        finally:
            for flight in flights:
                self._leave(flight, reason)

    async def close(self) -> None:
        """Cancel what is on its way; its callers get LoadShed."""
        tasks = {flight.task for flight in self._flights.values()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _board(
        self, keys: Sequence[K], compute: Callable[[Sequence[K]], Awaitable[Sequence[V]]]
    ) -> list[_Flight[K, V]]:
        """The flights that carry these keys. No await: between asking and joining nothing can land."""
        new_keys = [key for key in dict.fromkeys(keys) if key not in self._flights]
        if new_keys:
            flight: _Flight[K, V] = _Flight(new_keys)
            flight.task = asyncio.create_task(_fly(new_keys, compute), context=self._context())
            flight.task.add_done_callback(lambda task: self._landed(flight, task))
            self._flights.update(dict.fromkeys(new_keys, flight))
        return list(dict.fromkeys(self._flights[key] for key in keys))

    def _values(self, keys: Iterable[K], flights: Iterable[_Flight[K, V]]) -> list[V]:
        values: dict[K, V] = {}
        for flight in flights:
            if flight.task.cancelled():
                raise LoadShed("the shared computation was given up")
            if flight.task.done():
                values.update(flight.task.result())
        return [values[key] for key in keys]

    def _leave(self, flight: _Flight[K, V], reason: object) -> None:
        flight.waiters -= 1
        if flight.waiters == 0 and not flight.task.done():
            self._forget(flight)  # nobody may join what is being cancelled
            flight.task.cancel(reason)

    def _landed(self, flight: _Flight[K, V], task: asyncio.Task[dict[K, V]]) -> None:
        self._forget(flight)
        if not task.cancelled():
            task.exception()  # asked for: a flight whose last waiter left in this moment is no lost error

    def _forget(self, flight: _Flight[K, V]) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]


async def _fly(keys: Sequence[K], compute: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> dict[K, V]:
    return dict(zip(keys, await compute(keys), strict=True))
