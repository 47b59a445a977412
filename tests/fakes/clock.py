"""A clock that stands still until it is told to go on."""

from __future__ import annotations


class FakeClock:
    """Seconds, as `time.monotonic` gives them."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let that much time go by."""
        self.now += seconds
