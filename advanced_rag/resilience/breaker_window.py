"""A breaker's memory: the last outcomes, bounded by count and by age, with running counts (reliability R1.2)."""

from __future__ import annotations

from collections import deque


class BreakerWindow:
    """The outcomes of the last `max_calls` attempts, none older than `max_age_s`. Not thread-safe: its breaker is.

    The count bounds memory, the age keeps last night's failures from counting today. Every reading is O(1).
    """

    def __init__(self, *, max_calls: int, max_age_s: float) -> None:
        self._entries: deque[tuple[float, bool, bool]] = deque(maxlen=max_calls)
        self._max_calls = max_calls
        self._max_age_s = max_age_s
        self._last_unanswered_at = 0.0
        self.failures = 0
        self.slow = 0
        self.unanswered_in_a_row = 0

    @property
    def calls(self) -> int:
        """How many outcomes are remembered."""
        return len(self._entries)

    def record(self, now: float, *, failed: bool, slow: bool, answered: bool) -> None:
        """Remember one outcome. `now` never goes back.

        A row of attempts without an answer is broken by any answer, and by `max_age_s` without one.
        """
        if len(self._entries) == self._max_calls:
            self._forget_oldest()
        self._entries.append((now, failed, slow))
        self.failures += failed
        self.slow += slow
        if answered:
            self.unanswered_in_a_row = 0
            return
        if now - self._last_unanswered_at > self._max_age_s:
            self.unanswered_in_a_row = 0
        self.unanswered_in_a_row += 1
        self._last_unanswered_at = now

    def prune(self, now: float) -> None:
        """Forget what is too old."""
        oldest_allowed = now - self._max_age_s
        while self._entries and self._entries[0][0] < oldest_allowed:
            self._forget_oldest()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.failures = self.slow = self.unanswered_in_a_row = 0

    def _forget_oldest(self) -> None:
        _, failed, slow = self._entries.popleft()
        self.failures -= failed
        self.slow -= slow
