"""Interim fusion: to be replaced by the measured one."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from advanced_rag.domain.documents import ChunkId, DocumentId, Hit, Lane


class FusionMethod(StrEnum):
    DBSF = "dbsf"
    CONVEX = "convex"
    RRF = "rrf"


@dataclass(frozen=True, slots=True)
class LaneContribution:
    rank: int
    score: float
    contribution: float


@dataclass(frozen=True, slots=True)
class FusedHit:
    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    score: float
    lanes: Mapping[Lane, LaneContribution]


def fuse(rankings: Mapping[Lane, Sequence[Hit]], *, method: FusionMethod, weights: Mapping[Lane, float]) -> list[FusedHit]:
    shares: dict[ChunkId, dict[Lane, LaneContribution]] = {}
    hits: dict[ChunkId, Hit] = {}
    total = sum(weights.get(lane, 1.0) for lane in rankings) or 1.0
    for lane, ranking in rankings.items():
        scores = [hit.score for hit in ranking]
        if not scores:
            continue
        mean, std = statistics.fmean(scores), statistics.pstdev(scores) or 1.0
        for rank, hit in enumerate(ranking, start=1):
            z = (hit.score - (mean - 3 * std)) / (6 * std)
            share = max(0.0, min(1.0, z)) * weights.get(lane, 1.0) / total
            shares.setdefault(hit.chunk_id, {})[lane] = LaneContribution(rank, hit.score, share)
            hits[hit.chunk_id] = hit
    fused = [
        FusedHit(chunk, hits[chunk].document_id, hits[chunk].version, sum(s.contribution for s in lanes.values()), lanes)
        for chunk, lanes in shares.items()
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.chunk_id))
