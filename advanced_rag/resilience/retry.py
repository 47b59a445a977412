"""Retry: the only place that tries again, with full jitter, within a budget and within the deadline.

Drivers' own retries are off. What may be repeated is said by whoever raises: a `DependencyError` is `transient` only if
repeating the call is safe and may help. LoadShed and CallerError are final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from threading import Lock
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from advanced_rag.exceptions import DependencyError
from advanced_rag.resilience.deadline import MIN_REMAINING_S, remaining_s
from advanced_rag.resilience.listener import NullListener, ResilienceListener

T = TypeVar("T")

_MAX_DOUBLINGS: Final = 16


@dataclass(frozen=True, slots=True)
class RetryValues:
    """How often and how fast. `max_attempts` counts the first one."""

    max_attempts: int = 3
    backoff_base_s: float = 0.05
    backoff_max_s: float = 1.0
    budget: float = 10.0
    budget_per_call: float = 0.1
    max_retry_after_s: float = 30.0
    """A dependency that asks for a longer pause than this is not waited for."""


class RetryBudget:
    """A token bucket, one for each dependency and process. Safe in threads.

    Every first attempt earns `per_call`, every retry costs 1, the bucket starts full: over any interval there are at
    most (1 + per_call) * calls + capacity attempts. Source: Google SRE book, chapter 21.
    """

    def __init__(self, *, capacity: float, per_call: float) -> None:
        self._capacity = capacity
        self._per_call = per_call
        self._tokens = capacity
        self._lock = Lock()

    def earn(self) -> None:
        """A call began."""
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + self._per_call)

    def spend(self) -> bool:
        """Take the token of one retry; False where none is left."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


class Retry:
    """Tries again after a transient failure.

    Before retry n (from 0) it sleeps uniform(0, min(backoff_max_s, backoff_base_s * 2^n)), at least what the dependency
    asked for with `retry_after_s`. It gives up with the last error when the attempts or the budget are used up, or when
    the sleep plus 50 ms does not fit the deadline. Source of the formula: AWS Builders' Library, "full jitter".
    """

    def __init__(
        self,
        name: str,
        values: RetryValues,
        *,
        random: Random,
        budget: RetryBudget | None = None,
        listener: ResilienceListener | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._values = values
        self._random = random
        self._budget = budget or RetryBudget(capacity=values.budget, per_call=values.budget_per_call)
        self._listener: ResilienceListener = listener or NullListener()
        self._sleep = sleep

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The first answer, or the error of the last attempt. A first attempt that answers costs next to nothing."""
        self._budget.earn()
        try:
            return await call()
        except DependencyError as error:
            if not error.transient or self._values.max_attempts == 1:
                raise
            first_error = error
        return await self._again(call, first_error)

    async def _again(self, call: Callable[[], Awaitable[T]], first_error: DependencyError) -> T:
        """Tenacity's loop, whose first attempt is the one that has failed already."""
        failed: list[DependencyError] = [first_error]

        async def attempt() -> T:
            if failed:
                raise failed.pop()
            return await call()

        attempts = AsyncRetrying(
            sleep=self._sleep,
            retry=retry_if_exception(_is_transient),
            wait=self._backoff_s,
            stop=self._gives_up,
            before_sleep=self._announce,
            reraise=True,
        )
        return await attempts(attempt)

    def _backoff_s(self, state: RetryCallState) -> float:
        doublings = min(state.attempt_number - 1, _MAX_DOUBLINGS)
        ceiling_s = min(self._values.backoff_max_s, self._values.backoff_base_s * 2.0**doublings)
        return max(self._random.uniform(0.0, ceiling_s), _retry_after_s(state))

    def _gives_up(self, state: RetryCallState) -> bool:
        """Asked after the sleep was chosen; takes the budget's token when everything else allows another attempt."""
        if state.attempt_number >= self._values.max_attempts:
            return True
        if _retry_after_s(state) > self._values.max_retry_after_s:
            return True
        if state.upcoming_sleep + MIN_REMAINING_S > remaining_s():
            return True
        return not self._budget.spend()

    def _announce(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None:
            self._listener.on_retry(self.name, attempt=state.attempt_number, sleep_s=state.upcoming_sleep, error=error)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, DependencyError) and error.transient


def _retry_after_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, DependencyError) and error.retry_after_s is not None:
        return error.retry_after_s
    return 0.0
