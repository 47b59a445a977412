"""The layers of one dependency and lane, composed in the one order that the figures ask for (docs/decisions, R3.1)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random, SystemRandom
from typing import Final, Protocol, TypeVar

from advanced_rag.resilience.breaker_values import BreakerValues
from advanced_rag.resilience.bulkhead import Bulkhead, BulkheadValues
from advanced_rag.resilience.circuit_breaker import BreakerGate, CircuitBreaker
from advanced_rag.resilience.deadline import WithinDeadline
from advanced_rag.resilience.listener import NullListener, ResilienceListener
from advanced_rag.resilience.retry import Retry, RetryBudget, RetryValues
from advanced_rag.resilience.timeout import AttemptTimeout

T = TypeVar("T")

_PROBE_LIMIT_ATTEMPTS: Final = 2  # a probe that is out for so many attempt timeouts has leaked (reliability R1.6)


class Layer(Protocol):
    """One concern around a call."""

    async def run(self, call: Callable[[], Awaitable[T]], /) -> T:
        """Call it, or do not; return what it returns, or raise."""
        ...


@dataclass(frozen=True, slots=True)
class GuardValues:
    """Everything that is configured of a guard. The deadline must leave room for one whole attempt timeout at least.

    `retries_timeouts`: off where an attempt that was given up may have taken effect meanwhile.
    """

    attempt_timeout_s: float
    bulkhead: BulkheadValues
    retry: RetryValues = field(default_factory=RetryValues)
    breaker: BreakerValues = field(default_factory=BreakerValues)
    retries_timeouts: bool = True


@dataclass(frozen=True, slots=True)
class Guard:
    """Layers around a call, outermost first: deadline, retry, bulkhead, breaker, attempt timeout."""

    layers: tuple[Layer, ...]
    breaker: CircuitBreaker | None = None
    bulkhead: Bulkhead | None = None

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's answer. Raises what the layers raise: DependencyError, LoadShed, CallerError, DeadlineExceeded."""
        for layer in reversed(self.layers):
            call = partial(layer.run, call)
        return await call()

    def limited(self, *, attempt_timeout_s: float, total_s: float | None = None) -> Guard:
        """The same permits, breaker and retry budget with another attempt timeout, for calls of another length.

        `total_s` bounds the call with its waits and retries, whatever the request's deadline: DependencyTimeout.
        """

        def limit(layer: Layer) -> Layer:
            match layer:
                case AttemptTimeout():
                    return replace(layer, limit_s=attempt_timeout_s)
                case BreakerGate():
                    return replace(layer, probe_limit_s=_PROBE_LIMIT_ATTEMPTS * attempt_timeout_s)
                case WithinDeadline():
                    return replace(layer, total_s=total_s)
                case _:
                    return layer

        return replace(self, layers=tuple(limit(layer) for layer in self.layers))


def build_guard(
    name: str,
    values: GuardValues,
    *,
    listener: ResilienceListener | None = None,
    clock: Callable[[], float] = time.monotonic,
    random: Random | None = None,
    budget: RetryBudget | None = None,
) -> Guard:
    """A guard of its own for the dependency and lane `name` (`milvus.semantic`, `database`, …).

    `budget`: the retry budget to share with the dependency's other guards; by default it has its own.
    """
    told = listener or NullListener()
    dice = random or Random(SystemRandom().getrandbits(64))  # noqa: S311  # nosec B311  # spreads retries; nothing secret
    breaker = CircuitBreaker(name, values.breaker, random=dice, listener=told, clock=clock)
    bulkhead = Bulkhead(name, values.bulkhead, listener=told)
    return Guard(
        layers=(
            WithinDeadline(name, clock=clock),
            Retry(name, values.retry, random=dice, budget=budget, listener=told),
            bulkhead,
            BreakerGate(breaker, _PROBE_LIMIT_ATTEMPTS * values.attempt_timeout_s),
            AttemptTimeout(name, values.attempt_timeout_s, transient=values.retries_timeouts),
        ),
        breaker=breaker,
        bulkhead=bulkhead,
    )
