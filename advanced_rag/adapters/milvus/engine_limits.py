"""The embedded engine's numbers, and when it is started again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Times in seconds (reliability R5.5)."""

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 1.0
    silent_s: float = 10.0  # not answering at all for so long: hung
    stalled_s: float = 300.0  # answering, but no call gets through: loading 20,000 chunks blocks them all for 1.5 s
    first_backoff_s: float = 0.2
    max_backoff_s: float = 5.0
    restarts_before_pause: int = 5
    restart_window_s: float = 60.0
    pause_s: float = 30.0
    lock_poll_s: float = 0.5  # how often whoever does not own the engine looks whether it could
    warm_retry_s: float = 1.0
    term_s: float = 10.0  # from SIGTERM to SIGKILL
    eviction_s: float = 2.0  # what a former engine gets to notice that its owner is gone
    max_log_bytes: int = 5_000_000


class RestartPolicy:
    """How long to wait before the next start: a doubling backoff, and a pause after too many in a while."""

    def __init__(self, limits: EngineLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._ended: deque[float] = deque(maxlen=limits.restarts_before_pause)

    def ended(self) -> tuple[float, bool]:
        """The engine has ended: seconds to wait, and whether that is the pause.

        The backoff grows with the ends within the window; an engine that lived longer than that starts afresh.
        """
        limits, now = self._limits, self._clock()
        while self._ended and now - self._ended[0] > limits.restart_window_s:
            self._ended.popleft()
        if len(self._ended) >= limits.restarts_before_pause:
            self._ended.clear()
            return limits.pause_s, True
        delay_s: float = min(limits.max_backoff_s, limits.first_backoff_s * 2 ** len(self._ended))
        self._ended.append(now)
        return delay_s, False
