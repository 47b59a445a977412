"""How good a ranking is, by relevance judgements (qrels): recall@k, nDCG@k, MRR@k, as `trec_eval` has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Grades = Mapping[str, int]  # of one query: document id -> grade; above 0 is relevant, what is missing has 0
_Metric = Callable[[Sequence[str], Grades, int], float]


@dataclass(frozen=True, slots=True)
class RankingMetrics:
    """Means over `queries` queries, each by its cut-off k."""

    queries: int
    recall: Mapping[int, float]
    ndcg: Mapping[int, float]
    mrr: Mapping[int, float]


def recall_at(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Share of the relevant documents that are among the first k: |top k & relevant| / |relevant|.

    A document that comes twice counts once, where it comes first. 0 where nothing is relevant.
    """
    relevant = {document for document, grade in grades.items() if grade > 0}
    if not relevant:
        return 0.0
    return len(relevant.intersection(_distinct(ranking, k))) / len(relevant)


def ndcg_at(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Normalised discounted cumulative gain of the first k, linear in the grade.

    DCG = sum over ranks i = 1..k of grade_i / log2(i + 1), divided by the DCG of the best possible order.
    A document that comes twice counts once, where it comes first. 0 where nothing is relevant.

    Source: Järvelin & Kekäläinen, TOIS 2002; gain and discount as `trec_eval -m ndcg_cut`.
    """
    ideal = _dcg(sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:k])
    if not ideal:
        return 0.0
    return _dcg(max(grades.get(document, 0), 0) for document in _distinct(ranking, k)) / ideal


def reciprocal_rank_at(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """1 / rank of the first relevant document among the first k, 0 where there is none."""
    for rank, document in enumerate(_distinct(ranking, k), start=1):
        if grades.get(document, 0) > 0:
            return 1 / rank
    return 0.0


def ranking_metrics(
    rankings: Mapping[str, Sequence[str]], qrels: Mapping[str, Grades], cutoffs: Sequence[int] = (10, 100)
) -> RankingMetrics:
    """Means over the queries of `qrels` that have a relevant document; a query without ranking counts as 0.

    Args:
        rankings: query id -> document ids, best first.
        qrels: query id -> grades.
        cutoffs: each k to report, >= 1.
    """
    judged = {query: grades for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}

    def mean(metric: _Metric, k: int) -> float:
        if not judged:
            return 0.0
        return math.fsum(metric(rankings.get(query, ()), grades, k) for query, grades in judged.items()) / len(judged)

    return RankingMetrics(
        queries=len(judged),
        recall={k: mean(recall_at, k) for k in cutoffs},
        ndcg={k: mean(ndcg_at, k) for k in cutoffs},
        mrr={k: mean(reciprocal_rank_at, k) for k in cutoffs},
    )


def _distinct(ranking: Sequence[str], k: int) -> list[str]:
    return list(dict.fromkeys(ranking))[:k]


def _dcg(grades: Iterable[int]) -> float:
    return math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
