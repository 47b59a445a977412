"""Leave for one attempt, handed out by a breaker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from advanced_rag.resilience.outcomes import Outcome

Settle: TypeAlias = "Callable[[Permit, Outcome, float, float | None], None]"


class Permit:
    """Leave for one attempt. Exactly one of its methods counts: the first that is called."""

    __slots__ = ("_settle", "generation", "issued_at", "overdue_at", "settled")

    def __init__(self, settle: Settle, generation: int, issued_at: float, overdue_at: float) -> None:
        self._settle = settle
        self.settled = False
        self.generation = generation
        self.issued_at = issued_at
        self.overdue_at = overdue_at

    def success(self, duration_s: float) -> None:
        """It answered; slow if that took longer than `slow_s`."""
        self._settle(self, Outcome.SUCCESS, duration_s, None)

    def failure(self, duration_s: float, *, retry_after_s: float | None = None) -> None:
        """It failed; `retry_after_s` is what the dependency asked for and a floor for the open time."""
        self._settle(self, Outcome.FAILURE, duration_s, retry_after_s)

    def cut_off(self, duration_s: float) -> None:
        """It was given up for its slowness."""
        self._settle(self, Outcome.CUT_OFF, duration_s, None)

    def ignore(self, duration_s: float = 0.0) -> None:
        """Its end says nothing about the dependency."""
        self._settle(self, Outcome.IGNORED, duration_s, None)
