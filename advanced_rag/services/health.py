"""Health: what the prober last saw.

Nothing is asked of a dependency while a health request is answered (R5.6, R5.7).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from advanced_rag.constants import MILLISECONDS_PER_SECOND
from advanced_rag.exceptions import RAGException

logger = logging.getLogger(__name__)

LIVENESS_LIMIT_S: Final = 30.0  # reliability R5.7
_TICK_S: Final = 1.0


class ComponentState(StrEnum):
    """How a component was at the last look."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """The prober's last look at one dependency; nothing is asked while this is read."""

    name: str
    state: ComponentState
    latency_ms: float | None
    age_s: float | None
    last_error: str | None
    breaker: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`status` is ok, degraded or unavailable; `serving` is whether this process can answer."""

    status: str
    serving: bool
    components: tuple[ComponentHealth, ...]
    version: str
    uptime_s: float
    features: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Readiness:
    """`status` is ready, degraded, starting, draining or unavailable; ready to be sent requests or not, and why."""

    ready: bool
    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """How one dependency is looked at. `required`: without any required one for a while, this process is not ready.

    `check` raises when the dependency does not answer; it is given `HealthValues.timeout_s`. `healthy` is told of
    success.
    """

    name: str
    check: Callable[[], Awaitable[object]]
    required: bool = False
    breaker: Callable[[], str] | None = None
    details: Callable[[], Mapping[str, Any]] = dict
    healthy: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class HealthValues:
    """What is configured, in seconds."""

    interval_s: float
    failing_interval_s: float
    timeout_s: float
    unavailable_after_s: float


@dataclass(slots=True)
class _Look:
    state: ComponentState = ComponentState.UNKNOWN
    at: float | None = None
    latency_ms: float | None = None
    error: str | None = None
    last_good_at: float | None = None


@dataclass(slots=True)
class HealthService:
    """Holds the last look at each dependency; `run` keeps looking."""

    probes: Sequence[Probe]
    values: HealthValues
    version: str
    features: Mapping[str, bool]
    clock: Callable[[], float] = time.monotonic
    draining: bool = False
    _looks: dict[str, _Look] = field(default_factory=dict)
    _started: float = 0.0
    _ticked: float = 0.0

    def __post_init__(self) -> None:
        self._started = self._ticked = self.clock()
        self._looks = {probe.name: _Look() for probe in self.probes}

    async def run(self) -> None:
        """Until cancelled: each dependency at its own pace, and a tick that shows that the event loop runs."""
        async with asyncio.TaskGroup() as looking:
            looking.create_task(self._tick())
            for probe in self.probes:
                looking.create_task(self._keep_looking(probe))

    async def look(self, probe: Probe) -> ComponentState:
        """One look at one dependency."""
        seen = self._looks[probe.name]
        started = self.clock()
        try:
            async with asyncio.timeout(self.values.timeout_s):
                await probe.check()
        except (RAGException, OSError, TimeoutError) as error:
            if seen.state is not ComponentState.DOWN:
                logger.warning("%s does not answer its probe: %s", probe.name, type(error).__name__)
            seen.state, seen.error = ComponentState.DOWN, type(error).__name__
        else:
            if seen.state is ComponentState.DOWN:
                logger.warning("%s answers its probe again", probe.name)
            seen.state, seen.error, seen.last_good_at = ComponentState.OK, None, self.clock()
            seen.latency_ms = (self.clock() - started) * MILLISECONDS_PER_SECOND
            probe.healthy()
        seen.at = self.clock()
        return seen.state

    def report(self) -> HealthReport:
        """Every component as last seen."""
        components = tuple(self._component(probe) for probe in self.probes)
        readiness = self.readiness()
        all_well = all(component.state is ComponentState.OK for component in components)
        status = "unavailable" if not readiness.ready else "ok" if all_well else "degraded"
        return HealthReport(
            status=status,
            serving=readiness.ready,
            components=components,
            version=self.version,
            uptime_s=self.clock() - self._started,
            features=self.features,
        )

    def readiness(self) -> Readiness:
        """Not ready only while draining, or when everything required has been gone for a while (R5.6)."""
        if self.draining:
            return Readiness(ready=False, status="draining", reason="this process is shutting down")
        required = [probe.name for probe in self.probes if probe.required]
        if required and all(self._gone(name) for name in required):
            return Readiness(ready=False, status="unavailable", reason=f"{', '.join(required)} cannot be reached")
        if any(look.state is ComponentState.DOWN for look in self._looks.values()):
            return Readiness(ready=True, status="degraded")
        return Readiness(ready=True, status="ready")

    def alive(self) -> bool:
        """Whether the event loop has ticked within the last 30 s."""
        return self.clock() - self._ticked < LIVENESS_LIMIT_S

    def _gone(self, name: str) -> bool:
        look = self._looks[name]
        since = look.last_good_at if look.last_good_at is not None else self._started
        return look.state is ComponentState.DOWN and self.clock() - since >= self.values.unavailable_after_s

    def _component(self, probe: Probe) -> ComponentHealth:
        look = self._looks[probe.name]
        breaker = probe.breaker() if probe.breaker else None
        state = look.state
        if state is ComponentState.OK and breaker not in (None, "closed"):
            state = ComponentState.DEGRADED
        return ComponentHealth(
            name=probe.name,
            state=state,
            latency_ms=look.latency_ms,
            age_s=None if look.at is None else self.clock() - look.at,
            last_error=look.error,
            breaker=breaker,
            details=probe.details(),
        )

    async def _keep_looking(self, probe: Probe) -> None:
        while True:
            state = await self.look(probe)
            await self._pause(probe, answered=state is ComponentState.OK)

    async def _pause(self, probe: Probe, *, answered: bool) -> None:
        """Until the next look is due, which is soon as soon as the breaker opens (R1.8): it may have since the last."""
        waited_s = 0.0
        while True:
            well = answered and (probe.breaker is None or probe.breaker() == "closed")
            left_s = (self.values.interval_s if well else self.values.failing_interval_s) - waited_s
            if left_s <= 0:
                return
            step_s = min(left_s, _TICK_S)
            await asyncio.sleep(step_s)
            waited_s += step_s

    async def _tick(self) -> None:
        while True:
            self._ticked = self.clock()
            await asyncio.sleep(_TICK_S)
