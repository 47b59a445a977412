"""Circuit breaker: leaves a dependency alone that keeps failing, and finds out with few calls when it is back.

One instance for each dependency and lane, per process. All state is under one re-entrant lock that is held for a few
assignments only: nothing is awaited, logged or called out inside it. What listeners shall hear is queued inside and
delivered after release, in order, by one thread at a time.

Cut as Polly cuts it: the window (`breaker_window`), the state (here), the strategy around a call (`BreakerGate`).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from threading import RLock
from types import TracebackType
from typing import Final, TypeVar

from advanced_rag.exceptions import CircuitOpen, DependencyError
from advanced_rag.resilience.breaker_permit import Permit
from advanced_rag.resilience.breaker_values import BreakerSnapshot, BreakerValues
from advanced_rag.resilience.breaker_window import BreakerWindow
from advanced_rag.resilience.listener import BreakerState, NullListener, ResilienceListener, Transition
from advanced_rag.resilience.outcomes import CUT_OFF, Outcome, outcome_of

__all__ = ["CUT_OFF", "BreakerGate", "BreakerSnapshot", "BreakerState", "BreakerValues", "CircuitBreaker", "Permit"]

T = TypeVar("T")

_logger: Final = logging.getLogger(__name__)
_MAX_UNDELIVERED: Final = 1_000  # transitions waiting for a listener that hangs; older ones are dropped
_MAX_DOUBLINGS: Final = 16
_FOREVER: Final = float("inf")


class BreakerCall:
    """One attempt as a context manager, for sync and async code: acquires, and settles by what is raised (R1.9)."""

    __slots__ = ("_breaker", "_permit", "_probe_limit_s")

    def __init__(self, breaker: CircuitBreaker, probe_limit_s: float | None) -> None:
        self._breaker = breaker
        self._probe_limit_s = probe_limit_s

    def __enter__(self) -> Permit:
        self._permit = self._breaker.acquire(probe_limit_s=self._probe_limit_s)
        return self._permit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        duration_s = self._breaker.clock() - self._permit.issued_at
        match outcome_of(error, duration_s, self._breaker.values.slow_s):
            case Outcome.SUCCESS:
                self._permit.success(duration_s)
            case Outcome.FAILURE:
                retry_after_s = error.retry_after_s if isinstance(error, DependencyError) else None
                self._permit.failure(duration_s, retry_after_s=retry_after_s)
            case Outcome.CUT_OFF:
                self._permit.cut_off(duration_s)
            case Outcome.IGNORED:
                self._permit.ignore(duration_s)

    async def __aenter__(self) -> Permit:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class CircuitBreaker:
    """Counts attempts and refuses them while the dependency keeps failing. Safe in threads, tasks and several loops.

    Opens when, of at least `minimum_calls` in the window, `failure_ratio` failed or `slow_ratio` were slow, or when
    `unanswered_in_a_row` attempts in a row brought no answer (failed or were cut off). Stays open for
    min(open_max_s, open_s * 2^k) * uniform(1 - open_jitter, 1 + open_jitter) seconds, k the number of half-opens that
    failed in a row, then lets `probes` attempts through at once: so many answers that are not slow close it, the first
    failure or slow answer opens it again.

    Sources: resilience4j and Polly (count and time window, slow calls), sony/gobreaker (generations), Envoy (a row).
    """

    def __init__(
        self,
        name: str,
        values: BreakerValues,
        *,
        random: Random,
        listener: ResilienceListener | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.values = values
        self.clock = clock
        self._random = random
        self._listener: ResilienceListener = listener or NullListener()
        self._lock = RLock()
        self._window = BreakerWindow(max_calls=values.max_calls, max_age_s=values.window_s)
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._closed_at = clock()
        self._opened_at = 0.0
        self._open_until = 0.0
        self._not_before = 0.0  # the floor that a dependency's Retry-After put under the open time
        self._failed_half_opens = 0
        self._probes: dict[Permit, None] = {}  # in order of issue; at most `probes`
        self._probe_successes = 0
        self._events: deque[Transition] = deque(maxlen=_MAX_UNDELIVERED)
        self._delivering = False

    @property
    def state(self) -> BreakerState:
        """The state as the last operation left it: OPEN turns HALF_OPEN when somebody asks, not by itself."""
        return self._state

    def snapshot(self) -> BreakerSnapshot:
        """State and counts, taken at once."""
        with self._lock:
            now = self.clock()
            self._catch_up(now)
            snapshot = BreakerSnapshot(
                state=self._state,
                generation=self._generation,
                calls=self._window.calls,
                failures=self._window.failures,
                slow=self._window.slow,
                unanswered_in_a_row=self._window.unanswered_in_a_row,
                retry_after_s=self._refusal_s(now) if self._state is BreakerState.OPEN else 0.0,
            )
        self._deliver()
        return snapshot

    def acquire(self, *, probe_limit_s: float | None = None) -> Permit:
        """Leave for one attempt, to be settled exactly once.

        Args:
            probe_limit_s: after so long a probe that was not settled counts as failed; default `values.probe_limit_s`.

        Raises:
            CircuitOpen: open, or every probe is out. Nothing was changed.
        """
        permit: Permit | None = None
        with self._lock:
            now = self.clock()
            self._catch_up(now)
            if self._state is BreakerState.OPEN and now >= self._open_until:
                self._half_open("open time over")
            if self._state is BreakerState.CLOSED or (
                self._state is BreakerState.HALF_OPEN and len(self._probes) < self.values.probes
            ):
                limit_s = self.values.probe_limit_s if probe_limit_s is None else probe_limit_s
                permit = Permit(self._settle, self._generation, now, now + limit_s)
                if self._state is BreakerState.HALF_OPEN:
                    self._probes[permit] = None
            refusal_s = 0.0 if permit is not None else self._refusal_s(now)
        if self._events:
            self._deliver()
        if permit is None:
            raise CircuitOpen(self.name, retry_after_s=refusal_s)
        return permit

    def call(self, *, probe_limit_s: float | None = None) -> BreakerCall:
        """`with breaker.call():` or `async with breaker.call():` around one attempt."""
        return BreakerCall(self, probe_limit_s)

    def hint_healthy(self) -> None:
        """A prober saw the dependency answer: let probes through early, but never before its own Retry-After."""
        with self._lock:
            now = self.clock()
            self._catch_up(now)
            allowed_at = max(self._opened_at + self.values.hint_after_s, self._not_before)
            forced = self._open_until == _FOREVER
            if self._state is BreakerState.OPEN and not forced and now >= allowed_at:
                self._half_open("prober saw an answer")
        self._deliver()

    def force_open(self) -> None:
        """Open until `force_close`, for operators and tests."""
        with self._lock:
            if self._state is not BreakerState.OPEN:
                self._open(self.clock(), "forced")
            self._open_until = _FOREVER
        self._deliver()

    def force_close(self) -> None:
        """Close and forget everything, for operators and tests."""
        with self._lock:
            self._failed_half_opens = 0
            self._not_before = 0.0
            if self._state is BreakerState.CLOSED:
                self._window.clear()
            else:
                self._close(self.clock(), "forced")
        self._deliver()

    def _settle(self, permit: Permit, outcome: Outcome, duration_s: float, retry_after_s: float | None) -> None:
        with self._lock:
            if permit.settled:
                return
            permit.settled = True
            now = self.clock()
            self._catch_up(now)
            if permit.generation == self._generation:
                if retry_after_s is not None and outcome is Outcome.FAILURE:
                    floor = now + min(retry_after_s, self.values.max_retry_after_s)
                    self._not_before = max(self._not_before, floor)
                self._count(permit, outcome, duration_s, now)
        self._listener.on_attempt(self.name, outcome, duration_s)
        if self._events:
            self._deliver()

    def _count(self, permit: Permit, outcome: Outcome, duration_s: float, now: float) -> None:
        """An outcome of the present generation: the state is CLOSED or HALF_OPEN."""
        self._probes.pop(permit, None)
        if outcome is Outcome.IGNORED:
            return
        cut_off = outcome is Outcome.CUT_OFF
        failed = outcome is Outcome.FAILURE
        slow = cut_off or (self.values.slow_s is not None and duration_s > self.values.slow_s)
        if self._state is BreakerState.CLOSED:
            self._window.record(now, failed=failed, slow=slow, answered=not (failed or cut_off))
            cause = self._reason_to_open()
            if cause is not None:
                self._open(now, cause)
        elif failed or slow:
            self._reopen(now, "probe failed" if failed else "probe was slow")
        else:
            self._probe_successes += 1
            if self._probe_successes >= self.values.probes:
                self._close(now, "probes answered")

    def _reason_to_open(self) -> str | None:
        window, values = self._window, self.values
        if window.unanswered_in_a_row >= values.unanswered_in_a_row:
            return "unanswered in a row"
        calls = window.calls
        if calls < values.minimum_calls:
            return None
        if window.failures / calls >= values.failure_ratio:
            return "failure ratio"
        if window.slow / calls >= values.slow_ratio:
            return "slow ratio"
        return None

    def _catch_up(self, now: float) -> None:
        """What time alone has changed: entries too old, and a probe whose owner never settled it."""
        if self._state is BreakerState.CLOSED:
            self._window.prune(now)
        elif self._probes and any(now >= probe.overdue_at for probe in self._probes):
            self._reopen(now, "probe never came back")

    def _refusal_s(self, now: float) -> float:
        if self._state is BreakerState.HALF_OPEN:
            return self.values.probe_retry_after_s
        if self._open_until == _FOREVER:
            return self.values.open_max_s
        return max(0.0, self._open_until - now)

    def _reopen(self, now: float, cause: str) -> None:
        self._failed_half_opens += 1
        self._open(now, cause)

    def _open(self, now: float, cause: str) -> None:
        values = self.values
        if self._state is BreakerState.CLOSED and now - self._closed_at >= values.window_s:
            self._failed_half_opens = 0
        doubled = values.open_s * 2.0 ** min(self._failed_half_opens, _MAX_DOUBLINGS)
        jitter = self._random.uniform(1.0 - values.open_jitter, 1.0 + values.open_jitter)
        self._opened_at = now
        self._open_until = max(now + min(values.open_max_s, doubled) * jitter, self._not_before)
        self._enter(BreakerState.OPEN, cause, open_s=self._open_until - now)

    def _half_open(self, cause: str) -> None:
        self._enter(BreakerState.HALF_OPEN, cause)

    def _close(self, now: float, cause: str) -> None:
        self._closed_at = now
        self._enter(BreakerState.CLOSED, cause)

    def _enter(self, state: BreakerState, cause: str, *, open_s: float = 0.0) -> None:
        self._generation += 1
        self._events.append(
            Transition(
                name=self.name,
                before=self._state,
                after=state,
                cause=cause,
                generation=self._generation,
                calls=self._window.calls,
                failures=self._window.failures,
                slow=self._window.slow,
                unanswered_in_a_row=self._window.unanswered_in_a_row,
                open_s=open_s,
            )
        )
        self._state = state
        self._window.clear()
        self._probes.clear()
        self._probe_successes = 0

    def _deliver(self) -> None:
        """Hand queued transitions to the listener outside the lock; whoever is at it already takes the new ones too."""
        while True:
            with self._lock:
                if self._delivering or not self._events:
                    return
                event = self._events.popleft()
                self._delivering = True
            try:
                self._listener.on_transition(event)
            except Exception:
                _logger.exception("a listener failed on a transition of breaker %s", self.name)
            finally:
                with self._lock:
                    self._delivering = False


@dataclass(frozen=True, slots=True)
class BreakerGate:
    """The breaker as a layer: asks it before the attempt and tells it the end. `probe_limit_s` as in `acquire`."""

    breaker: CircuitBreaker
    probe_limit_s: float

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Raises CircuitOpen without calling, or whatever the call raises."""
        with self.breaker.call(probe_limit_s=self.probe_limit_s):
            return await call()
