"""What the layers tell whoever counts and logs: they know neither metrics nor log format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from advanced_rag.resilience.outcomes import Outcome


class BreakerState(StrEnum):
    """CLOSED lets all calls pass, OPEN none, HALF_OPEN a few probes."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a breaker's state, with the counts that caused it."""

    name: str
    before: BreakerState
    after: BreakerState
    cause: str
    generation: int
    calls: int
    failures: int
    slow: int
    unanswered_in_a_row: int
    open_s: float = 0.0
    """How long the breaker stays open; 0 for the other states."""


class Rejection(StrEnum):
    """Why a bulkhead refused."""

    CROWDED = "crowded"  # too many were waiting already
    WAITED = "waited"  # no permit within the wait


class ResilienceListener(Protocol):
    """Called outside every lock, in any thread, on the path of the call: be quick, do not raise, do not block."""

    def on_attempt(self, name: str, outcome: Outcome, duration_s: float) -> None:
        """One attempt ended."""
        ...

    def on_transition(self, transition: Transition) -> None:
        """A breaker changed its state. In order for each breaker, never two at once of the same one."""
        ...

    def on_retry(self, name: str, *, attempt: int, sleep_s: float, error: BaseException) -> None:
        """Attempt number `attempt` (from 1) failed with `error`; the next one follows after `sleep_s`."""
        ...

    def on_in_flight(self, name: str, in_flight: int) -> None:
        """So many permits of a bulkhead are held now."""
        ...

    def on_rejected(self, name: str, reason: Rejection) -> None:
        """A bulkhead refused a call."""
        ...


class NullListener:
    """Hears everything and does nothing."""

    def on_attempt(self, name: str, outcome: Outcome, duration_s: float) -> None:
        """Nothing."""

    def on_transition(self, transition: Transition) -> None:
        """Nothing."""

    def on_retry(self, name: str, *, attempt: int, sleep_s: float, error: BaseException) -> None:
        """Nothing."""

    def on_in_flight(self, name: str, in_flight: int) -> None:
        """Nothing."""

    def on_rejected(self, name: str, reason: Rejection) -> None:
        """Nothing."""
