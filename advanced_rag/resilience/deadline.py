"""The request's deadline: an absolute instant in a context variable, made once at the door, asked everywhere inside.

It counts on a monotonic clock and is never moved outwards. A task inherits the deadline of whoever creates it; work
that outlives its request (jobs, computations shared by several callers) runs in `without_deadline()`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeVar

from advanced_rag.exceptions import DeadlineExceeded, DependencyTimeout

T = TypeVar("T")

MIN_REMAINING_S: Final = 0.05  # with less than this left nothing is sent any more (reliability R3.3)
UNLIMITED: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of `clock`. `own`: a call of ours has set it for itself; the request has more time."""

    at: float
    clock: Callable[[], float]
    own: bool = False

    def remaining_s(self) -> float:
        """Seconds left; negative once it is over."""
        return self.at - self.clock()


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current_deadline() -> Deadline | None:
    """The deadline that holds here, if any."""
    return _current.get()


def remaining_s() -> float:
    """Seconds left to the request; infinite where there is no deadline, negative once it is over."""
    deadline = _current.get()
    return UNLIMITED if deadline is None else deadline.remaining_s()


@contextmanager
def deadline_scope(
    limit_s: float, *, clock: Callable[[], float] = time.monotonic, own: bool = False
) -> Iterator[Deadline]:
    """Everything inside has `limit_s` seconds, or less where an earlier deadline holds already: yields what holds."""
    deadline = _current.get()
    if deadline is None or deadline.remaining_s() > limit_s:
        deadline = Deadline(clock() + limit_s, clock, own)
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


@contextmanager
def without_deadline() -> Iterator[None]:
    """Everything inside has all the time that its own limits leave."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


@dataclass(frozen=True, slots=True)
class WithinDeadline:
    """Outermost layer: the whole call with its waits and retries ends when the deadline does.

    `total_s` is a limit of the call's own: when it ends while the request has time left, the dependency was too slow
    (DependencyTimeout); otherwise the request is over (DeadlineExceeded).
    """

    name: str
    total_s: float | None = None
    clock: Callable[[], float] = time.monotonic

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Raises DeadlineExceeded, at once and without calling when less than `MIN_REMAINING_S` is left."""
        if self.total_s is None:
            if _current.get() is None:
                return await call()
            return await self._until_deadline(call)
        with deadline_scope(self.total_s, clock=self.clock, own=True) as deadline:
            try:
                return await self._until_deadline(call)
            except DeadlineExceeded as error:
                if not deadline.own:
                    raise
                raise DependencyTimeout(self.name, limit_s=self.total_s) from error

    async def _until_deadline(self, call: Callable[[], Awaitable[T]]) -> T:
        left_s = remaining_s()
        if left_s < MIN_REMAINING_S:
            raise DeadlineExceeded(self.name)
        scope = asyncio.timeout(left_s)
        try:
            async with scope:
                return await call()
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlineExceeded(self.name) from error
