"""Fusion of rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.documents import ChunkId, DocumentId, Hit, Lane
from advanced_rag.domain.fusion import FusionMethod, deviation_scaled, fuse, min_max_scaled, reciprocal_ranks

methods = st.sampled_from(FusionMethod)
chunk_ids = st.text("abcdef", min_size=1, max_size=2).map(ChunkId)


def hit(chunk: str, score: float) -> Hit:
    return Hit(ChunkId(chunk), score, DocumentId(f"d-{chunk}"), 3)


def _ranking(scores: Mapping[ChunkId, float]) -> list[Hit]:
    return [hit(chunk, score) for chunk, score in sorted(scores.items(), key=lambda each: (-each[1], each[0]))]


def scored(low: float, high: float) -> st.SearchStrategy[list[Hit]]:
    return st.dictionaries(chunk_ids, st.floats(low, high), max_size=8).map(_ranking)


rankings = st.fixed_dictionaries(
    {},
    optional={Lane.SEMANTIC: scored(-1, 1), Lane.SPARSE: scored(0, 60), Lane.DOMAIN: scored(-1, 1)},
)


@given(rankings, methods)
def test_every_chunk_comes_out_once_best_first(given: dict[Lane, list[Hit]], method: FusionMethod) -> None:
    fused = fuse(given, method=method)
    assert sorted(each.chunk_id for each in fused) == sorted({h.chunk_id for hits in given.values() for h in hits})
    for better, worse in pairwise(fused):
        assert (-better.fused, better.chunk_id) < (-worse.fused, worse.chunk_id)


@given(rankings, methods)
def test_scores_lie_between_0_and_1_and_fall_with_the_rank(given: dict[Lane, list[Hit]], method: FusionMethod) -> None:
    fused = fuse(given, method=method)
    assert all(0 <= each.score <= 1 for each in fused)
    assert all(better.score >= worse.score for better, worse in pairwise(fused))


@given(rankings, methods)
def test_contributions_add_up_and_say_where_a_chunk_stood(given: dict[Lane, list[Hit]], method: FusionMethod) -> None:
    for each in fuse(given, method=method):
        assert each.fused == pytest.approx(sum(lane.share for lane in each.lanes.values()))
        for lane, contribution in each.lanes.items():
            found = given[lane][contribution.rank - 1]
            assert (found.chunk_id, found.score) == (each.chunk_id, contribution.score)
            assert (found.document_id, found.version) == (each.document_id, each.version)


@given(scored(0, 60), st.sampled_from(Lane), methods)
def test_a_lane_alone_keeps_its_order(hits: list[Hit], lane: Lane, method: FusionMethod) -> None:
    fused = fuse({lane: hits}, method=method)
    scores = {each.chunk_id: each.score for each in hits}
    assert all(scores[better.chunk_id] >= scores[worse.chunk_id] - 1e-6 for better, worse in pairwise(fused))


@given(rankings, methods)
def test_the_order_of_the_lanes_does_not_matter(given: dict[Lane, list[Hit]], method: FusionMethod) -> None:
    assert fuse(given, method=method) == fuse(dict(reversed(given.items())), method=method)


@given(scored(-1, 1), scored(0, 60), methods)
def test_a_lane_of_weight_0_changes_no_score(dense: list[Hit], sparse: list[Hit], method: FusionMethod) -> None:
    both = fuse({Lane.SEMANTIC: dense, Lane.SPARSE: sparse}, method=method, weights={Lane.SPARSE: 0.0})
    alone = fuse({Lane.SEMANTIC: dense}, method=method)
    known = {each.chunk_id for each in dense}
    assert [(each.chunk_id, each.fused) for each in both if each.chunk_id in known] == [
        (each.chunk_id, each.fused) for each in alone
    ]


def test_nothing_found_is_an_empty_ranking() -> None:
    assert fuse({}) == []
    assert fuse({Lane.SEMANTIC: [], Lane.SPARSE: []}) == []


@pytest.mark.parametrize("method", FusionMethod)
def test_second_in_two_lanes_beats_first_in_one_where_the_lanes_are_alike(method: FusionMethod) -> None:
    first: Sequence[Hit] = [hit("a", 0.62), hit("b", 0.6), hit("x", 0.1)]
    second: Sequence[Hit] = [hit("c", 0.62), hit("b", 0.6), hit("y", 0.1)]
    assert fuse({Lane.SEMANTIC: first, Lane.DOMAIN: second}, method=method)[0].chunk_id == "b"


def test_a_lone_match_of_a_rare_word_comes_before_the_nearest_vectors() -> None:
    dense = [hit(f"v{n}", 0.4 - n * 0.002) for n in range(100)]
    assert fuse({Lane.SEMANTIC: dense, Lane.SPARSE: [hit("e-1042", 9.0)]})[0].chunk_id == "e-1042"


def test_one_hit_scores_by_its_own_strength_and_not_by_being_alone() -> None:
    (weak,) = fuse({Lane.SEMANTIC: [hit("a", 0.1)]})
    (strong,) = fuse({Lane.SEMANTIC: [hit("a", 0.8)]})
    assert (weak.score, strong.score) == pytest.approx((0.1, 0.8))


def test_equal_scores_are_equal_hits_in_order_of_their_ids() -> None:
    fused = fuse({Lane.SEMANTIC: [hit("b", 0.5), hit("a", 0.5), hit("c", 0.5)]})
    assert [each.chunk_id for each in fused] == ["a", "b", "c"]
    assert {each.score for each in fused} == {0.5}


def test_a_threshold_means_about_the_same_when_a_lane_is_gone() -> None:
    dense = [hit("a", 0.62)] + [hit(f"v{n}", 0.3 - n * 0.001) for n in range(99)]
    sparse = [hit("a", 22.0)] + [hit(f"v{n}", 9 - n * 0.05) for n in range(99)]
    both = fuse({Lane.SEMANTIC: dense, Lane.SPARSE: sparse})[0].score
    for alone in ({Lane.SEMANTIC: dense}, {Lane.SPARSE: sparse}):
        assert fuse(alone)[0].score == pytest.approx(both, abs=0.05)


def test_a_lane_that_found_nothing_counts_no_more_than_one_that_is_gone() -> None:
    dense = [hit("a", 0.62), hit("b", 0.3)]
    assert fuse({Lane.SEMANTIC: dense, Lane.SPARSE: []}) == fuse({Lane.SEMANTIC: dense})


def test_a_question_about_nothing_in_the_index_scores_low() -> None:
    dense = [hit(f"v{n}", 0.2 - n * 0.001) for n in range(100)]
    sparse = [hit(f"w{n}", 7 - n * 0.05) for n in range(100)]
    assert fuse({Lane.SEMANTIC: dense, Lane.SPARSE: sparse})[0].score < 0.35


@given(st.lists(st.floats(-1, 1), max_size=20), st.integers(0, 50))
def test_scalings_keep_order_and_begin_at_0(scores: list[float], unseen: int) -> None:
    for scaled in (
        min_max_scaled(scores),
        deviation_scaled(scores),
        deviation_scaled([abs(s) for s in scores], unseen=unseen),
    ):
        assert all(value >= 0 for value in scaled)
        assert len(scaled) == len(scores)
    ranked = sorted(scores, reverse=True)
    assert all(better >= worse for better, worse in pairwise(deviation_scaled(ranked)))


def test_the_formulas_by_hand() -> None:
    assert reciprocal_ranks(2, k=60) == [1 / 61, 1 / 62]
    assert min_max_scaled([4.0, 3.0, 2.0]) == [1.0, 0.5, 0.0]
    assert deviation_scaled([1.0, -1.0]) == pytest.approx([0.5 + 1 / 6, 0.5 - 1 / 6])
    assert deviation_scaled([1.0], unseen=1) == pytest.approx([0.5 + 1 / 6])
