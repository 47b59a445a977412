"""What the guards report, as metrics and log lines.

Written against shapes, not types: telemetry and resilience are siblings that do not import each other; the composition
root hands one to the other, and the type check there shows that they fit.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from advanced_rag.telemetry.context import current_request
from advanced_rag.telemetry.fault_log import FaultLog
from advanced_rag.telemetry.log_lines import FIELDS_ATTRIBUTE
from advanced_rag.telemetry.metrics import BREAKER_STATES, Metrics

logger: Final = logging.getLogger(__name__)


class BreakerTransition(Protocol):
    """A breaker's change of state with the counts that caused it."""

    @property
    def name(self) -> str:
        """The breaker's."""
        ...

    @property
    def before(self) -> str:
        """The state that was left."""
        ...

    @property
    def after(self) -> str:
        """The state that was entered."""
        ...

    @property
    def cause(self) -> str:
        """Why, in words."""
        ...

    @property
    def calls(self) -> int:
        """Calls in the window."""
        ...

    @property
    def failures(self) -> int:
        """Failed ones among them."""
        ...

    @property
    def slow(self) -> int:
        """Slow ones among them."""
        ...

    @property
    def open_s(self) -> float:
        """How long it stays open; 0 for the other states."""
        ...


class ResilienceEvents:
    """A listener for every guard of the process. Quick, never raises, safe from any thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._faults = FaultLog(logger)

    def on_attempt(self, name: str, outcome: str, duration_s: float) -> None:
        """One attempt ended; adapters measure their own operations, which know more than a name."""

    def on_transition(self, transition: BreakerTransition) -> None:
        """Set the gauge, count the edge, write one line with the counts."""
        before, after = str(transition.before), str(transition.after)
        self._metrics.breaker_state.labels(transition.name).set(BREAKER_STATES[after])
        self._metrics.breaker_transitions.labels(transition.name, after).inc()
        fields = {
            "breaker": transition.name,
            "cause": transition.cause,
            "calls": transition.calls,
            "failures": transition.failures,
            "slow": transition.slow,
            "open_s": round(transition.open_s, 1),
        }
        logger.warning("breaker %s: %s -> %s", transition.name, before, after, extra={FIELDS_ATTRIBUTE: fields})

    def on_retry(self, name: str, *, attempt: int, sleep_s: float, error: BaseException) -> None:
        """Count it, for the process and for the request that pays for it; the fault itself at most once a second."""
        self._metrics.retries.labels(name).inc()
        if (context := current_request()) is not None:
            context.retries += 1
        self._faults.report(name, f"attempt {attempt} failed: {error}", level=logging.INFO, sleep_s=round(sleep_s, 3))

    def on_in_flight(self, name: str, in_flight: int) -> None:
        """Set the gauge."""
        self._metrics.bulkhead_in_flight.labels(name).set(in_flight)

    def on_rejected(self, name: str, reason: str) -> None:
        """Count it; the request's own line says the rest."""
        self._metrics.bulkhead_rejected.labels(name).inc()
        logger.debug("bulkhead %s refused a call: %s", name, reason)
