"""Ranking metrics."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.ranking_metrics import ndcg_at, ranking_metrics, recall_at, reciprocal_rank_at

documents = st.sampled_from("abcdefgh")
rankings = st.lists(documents, max_size=12)
grades = st.dictionaries(documents, st.integers(-1, 4))
cutoffs = st.integers(1, 12)


@given(rankings, grades, cutoffs)
def test_every_metric_lies_between_0_and_1(ranking: list[str], judged: dict[str, int], k: int) -> None:
    for metric in (recall_at, ndcg_at, reciprocal_rank_at):
        assert 0 <= metric(ranking, judged, k) <= 1 + 1e-12


@given(grades.filter(lambda judged: any(grade > 0 for grade in judged.values())), cutoffs)
def test_the_best_order_has_an_ndcg_of_1(judged: dict[str, int], k: int) -> None:
    best = sorted(judged, key=lambda document: -judged[document])
    assert ndcg_at(best, judged, k) == pytest.approx(1)
    assert reciprocal_rank_at(best, judged, k) == 1


@given(rankings, grades, cutoffs)
def test_a_repeated_document_changes_nothing(ranking: list[str], judged: dict[str, int], k: int) -> None:
    for metric in (recall_at, ndcg_at, reciprocal_rank_at):
        assert metric(ranking + ranking, judged, k) == metric(ranking, judged, k)


def test_the_formulas_by_hand() -> None:
    judged = {"a": 3, "b": 1, "c": 2, "d": 0}
    ranking = ["d", "a", "x", "b"]
    dcg = 3 / math.log2(3) + 1 / math.log2(5)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at(ranking, judged, 10) == pytest.approx(dcg / ideal)
    assert ndcg_at(ranking, judged, 2) == pytest.approx((3 / math.log2(3)) / (3 + 2 / math.log2(3)))
    assert recall_at(ranking, judged, 10) == pytest.approx(2 / 3)
    assert reciprocal_rank_at(ranking, judged, 10) == 0.5
    assert reciprocal_rank_at(ranking, judged, 1) == 0


def test_means_are_over_the_queries_that_have_something_to_find() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}, "q3": {"c": 0}}
    metrics = ranking_metrics({"q1": ["a"], "q3": ["c"]}, qrels, cutoffs=(1, 10))
    assert metrics.queries == 2
    assert metrics.recall == metrics.ndcg == metrics.mrr == {1: 0.5, 10: 0.5}


def test_nothing_judged_is_zero() -> None:
    assert ranking_metrics({"q": ["a"]}, {}).ndcg == {10: 0, 100: 0}
