"""What a retrieval is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from advanced_rag.domain.documents import Lane, Passage, Tenant


class Mode(StrEnum):
    """Which lanes a query asks."""

    HYBRID = "hybrid"
    SEMANTIC = "semantic"
    SPARSE = "sparse"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class RetrievalQuery:
    """A question of one tenant. `filters` is JSON as the caller sent it, parsed by the service (`wire.md` 10)."""

    tenant: Tenant
    text: str
    top_k: int = 10
    mode: Mode = Mode.HYBRID
    domain: str | None = None
    filters: object | None = None
    min_score: float | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class LaneShare:
    """What one lane said of one result: its rank (from 1), its own score, and what that added to the fused score."""

    rank: int
    score: float
    contribution: float


@dataclass(frozen=True, slots=True)
class RetrievedPassage:
    """One result. `score` is in [0, 1] and falls with the rank."""

    passage: Passage
    score: float
    rank: int
    lanes: Mapping[Lane, LaneShare]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The answer: best first; `degraded` names as `component:reason` what did not take part.

    `coverage` is the share of the results that each lane asked had found by itself.
    """

    results: tuple[RetrievedPassage, ...]
    degraded: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    coverage: Mapping[Lane, float] = field(default_factory=dict)
