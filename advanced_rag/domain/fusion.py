"""Merges the rankings of several lanes into one, and gives its hits a score that a threshold can be set on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from advanced_rag.constants import RRF_K
from advanced_rag.domain.documents import ChunkId, DocumentId, Hit, Lane

# Half of "as strong as lexical evidence gets". BM25 has no upper end; with this value the best hits of relevant queries
# had the same median as their cosines (0.55-0.6 and 0.58-0.68 on Cranfield and SQuAD), off-topic ones 0.35-0.4.
_HALF_STRENGTH_BM25: Final = 15.0
_DEVIATIONS: Final = 3.0  # Mazzeschi, "Distribution-based score fusion", 2023: mean - 3 sd is 0, mean + 3 sd is 1
_NO_SPREAD_SHARE: Final = 0.5  # where all scores of a lane are equal: its mean
_NEGLIGIBLE_SPREAD: Final = 1e-9  # of a float's rounding, relative to the scores


class FusionMethod(StrEnum):
    """What a lane's hit adds before weighting."""

    DBSF = "dbsf"
    CONVEX = "convex"
    RRF = "rrf"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one lane said of a chunk: its rank there (from 1), the lane's own score, and what that added to `fused`."""

    rank: int
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class FusedHit:
    """A chunk in the merged ranking.

    `fused` is what it is ranked by, on the method's own scale; `score` is in [0, 1]; `lanes` has those that found it.
    """

    chunk_id: ChunkId
    document_id: DocumentId
    version: int
    fused: float
    score: float
    lanes: Mapping[Lane, Contribution]


def fuse(
    rankings: Mapping[Lane, Sequence[Hit]],
    *,
    method: FusionMethod = FusionMethod.DBSF,
    weights: Mapping[Lane, float] | None = None,
    limit: int = 100,
) -> list[FusedHit]:
    """Merge the lanes that answered.

    `fused` is the weighted mean, over the lanes that found something, of what the method makes of a lane's scores; a
    chunk that a lane did not return gets nothing from it. (The lane's least instead of nothing was no better: Cranfield
    0.564 against 0.565, SQuAD 0.909 against 0.910 nDCG@10. Whoever can score the missing chunks exactly adds them to
    the rankings before.)

    `score` is the strength of the best hit, times `fused` in relation to the best. The strength does not depend on
    what else was found: it is the weighted mean over those lanes of the cosine (at least 0) and of BM25 /
    (BM25 + 15); where a lane did not return the best hit, its least score stands in. So scores fall with the rank, the
    best hit of a question about nothing in the index scores low (0.15 to 0.35 where relevant ones have 0.5 to 0.7),
    and a threshold means about the same when a lane is gone. It is no probability.

    Args:
        rankings: one for each lane that answered, best first, no chunk twice in a lane; may be empty. Scores are
            cosines, in the sparse lane BM25.
        method: how a lane's scores become comparable.
        weights: of the lanes, >= 0; 1 where none is given. All 0 is the same as all 1.
        limit: what the lanes were asked for: a sparse ranking that is shorter says that all other chunks have 0.

    Returns:
        Every chunk once, best first, ties by chunk id.
    """
    rankings = {lane: hits for lane, hits in rankings.items() if hits}
    shares = {lane: _shares(lane, hits, method, limit) for lane, hits in rankings.items()}
    lane_weights = _normalised({lane: 1.0 if weights is None else weights.get(lane, 1.0) for lane in rankings})
    lanes_of: dict[ChunkId, dict[Lane, Contribution]] = {}
    found: dict[ChunkId, Hit] = {}
    for lane, hits in rankings.items():
        for rank, (hit, share) in enumerate(zip(hits, shares[lane], strict=True), start=1):
            found.setdefault(hit.chunk_id, hit)
            contribution = Contribution(rank, hit.score, share * lane_weights[lane])
            lanes_of.setdefault(hit.chunk_id, {})[lane] = contribution
    totals = {chunk: math.fsum(each.share for each in lanes.values()) for chunk, lanes in lanes_of.items()}
    order = sorted(totals, key=lambda chunk: (-totals[chunk], chunk))
    if not order:
        return []
    strength = _strength(lanes_of[order[0]], rankings, lane_weights, limit)
    best = totals[order[0]]
    return [
        FusedHit(
            chunk_id=chunk,
            document_id=found[chunk].document_id,
            version=found[chunk].version,
            fused=totals[chunk],
            score=strength * (totals[chunk] / best if best > 0 else 1.0),
            lanes=lanes_of[chunk],
        )
        for chunk in order
    ]


def reciprocal_ranks(count: int, *, k: int = RRF_K) -> list[float]:
    """1 / (k + rank) for each rank from 1 to `count`: for scores that are not comparable.

    Source: Cormack, Clarke & Büttcher, SIGIR 2009, which found k = 60.
    """
    return [1 / (k + rank) for rank in range(1, count + 1)]


def min_max_scaled(scores: Sequence[float]) -> list[float]:
    """The least to 0, the greatest to 1; all 1 where they are equal."""
    if not scores:
        return []
    least, spread = min(scores), max(scores) - min(scores)
    return [(score - least) / spread if spread > 0 else 1.0 for score in scores]


def deviation_scaled(scores: Sequence[float], *, unseen: int = 0) -> list[float]:
    """Mean - 3 standard deviations to 0, mean + 3 to 1: what stands out from its lane's own list is worth more.

    Not cut off above: with a limit of 1 the outliers lost their order, and SQuAD 0.034 nDCG@10. Below 0 it is 0.

    Args:
        scores: a lane's.
        unseen: how many chunks the lane gave 0 and did not return; they belong to the distribution, so that a lone
            match of a rare word stands out.
    """
    count = len(scores) + unseen
    if not scores:
        return []
    mean = math.fsum(scores) / count
    variance = (math.fsum((score - mean) ** 2 for score in scores) + unseen * mean**2) / count
    deviation = math.sqrt(variance)
    if deviation <= _NEGLIGIBLE_SPREAD * max(map(abs, scores)):
        return [_NO_SPREAD_SHARE] * len(scores)
    reach = _DEVIATIONS * deviation
    return [max(0.0, (score - mean + reach) / (2 * reach)) for score in scores]


def _shares(lane: Lane, hits: Sequence[Hit], method: FusionMethod, limit: int) -> list[float]:
    scores = [hit.score for hit in hits]
    match method:
        case FusionMethod.DBSF:
            return deviation_scaled(scores, unseen=max(0, limit - len(scores)) if lane is Lane.SPARSE else 0)
        case FusionMethod.CONVEX:
            return min_max_scaled(scores)
        case FusionMethod.RRF:
            return reciprocal_ranks(len(scores))
        case _:
            assert_never(method)


def _normalised(weights: Mapping[Lane, float]) -> dict[Lane, float]:
    total = math.fsum(weights.values())
    return {lane: weight / total if total > 0 else 1 / len(weights) for lane, weight in weights.items()}


def _strength(
    best: Mapping[Lane, Contribution],
    rankings: Mapping[Lane, Sequence[Hit]],
    weights: Mapping[Lane, float],
    limit: int,
) -> float:
    strengths: list[float] = []
    for lane, hits in rankings.items():
        if lane in best:
            score = best[lane].score
        elif lane is Lane.SPARSE and len(hits) < limit:
            score = 0.0
        else:
            score = hits[-1].score
        strengths.append(weights[lane] * _lane_strength(lane, score))
    return math.fsum(strengths)


def _lane_strength(lane: Lane, score: float) -> float:
    score = max(score, 0.0)
    return score / (score + _HALF_STRENGTH_BM25) if lane is Lane.SPARSE else min(score, 1.0)
