"""Asking the lanes side by side: what has answered goes on, what has not is named (reliability R3.5, section 5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from advanced_rag.constants import MILLISECONDS_PER_SECOND
from advanced_rag.domain.documents import Hit, Lane, Matrix, Tenant
from advanced_rag.domain.filters import Filter
from advanced_rag.domain.terms import query_terms
from advanced_rag.exceptions import (
    CircuitOpen,
    DeadlineExceeded,
    DependencyError,
    DependencyInvalid,
    DependencyTimeout,
    LoadShed,
)
from advanced_rag.ports.indexes import VectorIndex
from advanced_rag.ports.models import Encoder
from advanced_rag.resilience.circuit_breaker import CUT_OFF


def degradation_reason(error: Exception) -> str:
    """The word for `component:reason` (reliability section 5)."""
    match error:
        case DependencyTimeout() | DeadlineExceeded():
            return "timeout"
        case CircuitOpen():
            return "open"
        case LoadShed():
            return "busy"
        case DependencyInvalid():
            return "invalid"
        case _:
            return "unavailable"


def database_degradation(error: Exception) -> str:
    """`database:reason`. An open breaker is a database that is gone: only a lane is called open (reliability R5.1)."""
    return f"database:{'unavailable' if isinstance(error, CircuitOpen) else degradation_reason(error)}"


@dataclass(frozen=True, slots=True)
class DenseLane:
    """A lane that is searched by vector, with the encoder whose vectors its collection holds."""

    encoder: Encoder
    index: VectorIndex


@dataclass(frozen=True, slots=True)
class LaneRequest:
    """One fan-out."""

    tenant: Tenant
    text: str
    lanes: tuple[Lane, ...]
    domain: str | None
    where: Filter | None
    limit: int


@dataclass(frozen=True, slots=True)
class LaneAnswers:
    """What came back: a ranking for each lane that answered, `component:reason` for each that did not."""

    rankings: Mapping[Lane, Sequence[Hit]]
    degraded: tuple[str, ...]
    reasons: Mapping[Lane, str]
    timings_ms: Mapping[str, float]


@dataclass(slots=True)
class _Progress:
    """What one fan-out knows of its lanes while they run."""

    encoding: set[Lane] = field(default_factory=set)
    failures: dict[Lane, tuple[str, str]] = field(default_factory=dict)  # lane -> (component, reason)
    rankings: dict[Lane, list[Hit]] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaneSearch:
    """The three lanes.

    `cutoff_s` counts from the fan-out, `cutoff_after_first_s` from the first answer; the later rules.
    """

    semantic: DenseLane
    sparse: VectorIndex
    domains: Mapping[str, DenseLane]
    cutoff_s: float
    cutoff_after_first_s: float
    clock: Callable[[], float] = time.monotonic

    async def search(self, request: LaneRequest) -> LaneAnswers:
        """Every lane asked at once. A lane that fails costs recall, not the request; nobody's error is raised."""
        progress = _Progress()
        tasks = {
            asyncio.create_task(self._timed(lane, request, progress), name=f"lane-{lane}"): lane
            for lane in request.lanes
        }
        try:
            await self._gather(tasks, progress)
        finally:
            for task in tasks:
                if not task.cancelling():
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._answers(request.lanes, progress)

    async def _gather(self, tasks: Mapping[asyncio.Task[None], Lane], progress: _Progress) -> None:
        """Until all are done, or the laggards' time is over once one has answered."""
        started = self.clock()
        pending = set(tasks)
        limit_s: float | None = None
        while pending:
            done, pending = await asyncio.wait(pending, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # lanes report expected failures themselves: what surfaces here is a bug
            if not done:
                break
            if progress.rankings:
                now = self.clock()
                if limit_s is None:
                    cut_off_at = max(started + self.cutoff_s, now + self.cutoff_after_first_s)
                limit_s = max(0.0, cut_off_at - now)
        for task in pending:
            lane = tasks[task]
            in_encoder = lane in progress.encoding
            task.cancel(CUT_OFF)  # counts as slow, which a caller who went away does not
            progress.failures[lane] = ("embedding" if in_encoder else lane.value, "slow")

    async def _timed(self, lane: Lane, request: LaneRequest, progress: _Progress) -> None:
        started = self.clock()
        try:
            progress.rankings[lane] = await self._one_lane(lane, request, progress)
        except (DependencyError, LoadShed, DeadlineExceeded) as error:
            # The guard has counted and logged it; here it only costs recall.
            component = "embedding" if lane in progress.encoding else lane.value
            progress.failures[lane] = (component, degradation_reason(error))
        finally:
            progress.timings_ms[f"{lane.value}"] = (self.clock() - started) * MILLISECONDS_PER_SECOND

    async def _one_lane(self, lane: Lane, request: LaneRequest, progress: _Progress) -> list[Hit]:
        match lane:
            case Lane.SPARSE:
                terms = query_terms(request.text)
                if not terms:
                    return []
                return await self.sparse.search(terms, tenant=request.tenant, limit=request.limit, where=request.where)
            case Lane.SEMANTIC:
                dense = self.semantic
            case Lane.DOMAIN:
                dense = self.domains[request.domain or ""]
        progress.encoding.add(lane)
        (probe,) = await self._timed_encoding(dense.encoder.encode_queries([request.text]), progress)
        progress.encoding.discard(lane)
        return await dense.index.search(probe, tenant=request.tenant, limit=request.limit, where=request.where)

    async def _timed_encoding(self, encoding: Awaitable[Matrix], progress: _Progress) -> Matrix:
        started = self.clock()
        try:
            return await encoding
        finally:
            progress.timings_ms["embedding"] = (self.clock() - started) * MILLISECONDS_PER_SECOND

    @staticmethod
    def _answers(lanes: Sequence[Lane], progress: _Progress) -> LaneAnswers:
        degraded: list[str] = []
        for lane in lanes:
            if lane not in progress.failures:
                continue
            component, reason = progress.failures[lane]
            degraded.append(f"{component}:{reason}")
            if component != lane.value:  # the lane itself was never asked
                degraded.append(f"{lane.value}:unavailable")
        return LaneAnswers(
            rankings=progress.rankings,
            degraded=tuple(dict.fromkeys(degraded)),
            reasons={lane: reason for lane, (_, reason) in progress.failures.items()},
            timings_ms=progress.timings_ms,
        )
