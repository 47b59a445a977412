"""Attempt timeout: the limit of one try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from advanced_rag.exceptions import DeadlineExceeded, DependencyTimeout
from advanced_rag.resilience.deadline import MIN_REMAINING_S, UNLIMITED, current_deadline

T = TypeVar("T")

RESERVE_S: Final = 0.02  # an attempt ends this long before the deadline: time to say so (reliability R3.3)


@dataclass(frozen=True, slots=True)
class AttemptTimeout:
    """Ends an attempt after `limit_s` seconds, or shortly before the request's deadline if that is earlier.

    `transient`: whether what was given up may be called again; not where it may have taken effect meanwhile.
    """

    name: str
    limit_s: float
    transient: bool = True

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Raises DependencyTimeout after `limit_s`; DeadlineExceeded when the request's deadline left less than that.

        With less than 50 ms left nothing is called. A limit that the call has set for itself is no hurry of the
        request's: whoever does not answer within it has timed out.
        """
        deadline = current_deadline()
        left_s = UNLIMITED if deadline is None else deadline.remaining_s()
        if left_s < MIN_REMAINING_S:
            raise DeadlineExceeded(self.name)
        limit_s = min(self.limit_s, left_s - RESERVE_S)
        scope = asyncio.timeout(limit_s)
        try:
            async with scope:
                return await call()
        except TimeoutError as error:
            if not scope.expired():  # the driver's own timeout: not ours to rename
                raise
            if deadline is not None and not deadline.own and limit_s < self.limit_s:
                raise DeadlineExceeded(self.name) from error
            late = DependencyTimeout(self.name, limit_s=limit_s)
            late.transient = self.transient
            raise late from error
