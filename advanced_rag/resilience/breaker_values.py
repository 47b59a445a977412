"""What a breaker is configured with, and what it shows of itself."""

from __future__ import annotations

from dataclasses import dataclass

from advanced_rag.resilience.listener import BreakerState


@dataclass(frozen=True, slots=True)
class BreakerValues:
    """When a breaker opens, for how long, and how it closes. Ratios are of attempts: retry is outside."""

    max_calls: int = 100
    window_s: float = 30.0
    minimum_calls: int = 20
    failure_ratio: float = 0.8
    slow_ratio: float = 0.8
    unanswered_in_a_row: int = 10
    open_s: float = 5.0
    open_max_s: float = 30.0
    open_jitter: float = 0.2
    max_retry_after_s: float = 300.0
    probes: int = 3
    probe_limit_s: float = 10.0
    probe_retry_after_s: float = 1.0
    hint_after_s: float = 1.0
    slow_s: float | None = None
    """An answer that took longer is slow; None: only a cut-off is."""


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """What a health answer shows."""

    state: BreakerState
    generation: int
    calls: int
    failures: int
    slow: int
    unanswered_in_a_row: int
    retry_after_s: float
    """Until the next probe is let through; 0 unless open."""
