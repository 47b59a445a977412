"""A listener that remembers what it was told."""

from __future__ import annotations

from collections import Counter

from advanced_rag.resilience.listener import Rejection, Transition
from advanced_rag.resilience.outcomes import Outcome


class RecordingListener:
    """Everything, in order. Lists are appended to from any thread."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, Outcome, float]] = []
        self.transitions: list[Transition] = []
        self.retries: list[tuple[str, int, float, BaseException]] = []
        self.in_flight: list[int] = []
        self.rejections: list[Rejection] = []
        self.names: set[str] = set()

    @property
    def outcomes(self) -> Counter[Outcome]:
        return Counter(outcome for _, outcome, _ in self.attempts)

    @property
    def path(self) -> list[str]:
        """The states entered."""
        return [transition.after.value for transition in self.transitions]

    def on_attempt(self, name: str, outcome: Outcome, duration_s: float) -> None:
        self.attempts.append((name, outcome, duration_s))

    def on_transition(self, transition: Transition) -> None:
        self.transitions.append(transition)

    def on_retry(self, name: str, *, attempt: int, sleep_s: float, error: BaseException) -> None:
        self.retries.append((name, attempt, sleep_s, error))

    def on_in_flight(self, name: str, in_flight: int) -> None:
        self.names.add(name)
        self.in_flight.append(in_flight)

    def on_rejected(self, name: str, reason: Rejection) -> None:
        self.names.add(name)
        self.rejections.append(reason)
