from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.embedding_model.token_batches import RUN_COST_TOKENS, batches_by_length

lengths_of_texts = st.lists(st.integers(1, 300), max_size=100)
bounds = st.integers(1, 2_000)


@given(lengths_of_texts, bounds)
def test_every_text_is_in_one_batch(lengths: list[int], max_tokens: int) -> None:
    batches = batches_by_length(lengths, max_tokens=max_tokens)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))


@given(lengths_of_texts, bounds)
def test_no_batch_is_larger_than_allowed_but_for_a_single_text(lengths: list[int], max_tokens: int) -> None:
    for batch in batches_by_length(lengths, max_tokens=max_tokens):
        assert len(batch) == 1 or len(batch) * max(lengths[position] for position in batch) <= max_tokens


@given(lengths_of_texts, bounds)
def test_padding_never_costs_more_than_another_run(lengths: list[int], max_tokens: int) -> None:
    for batch in batches_by_length(lengths, max_tokens=max_tokens):
        longest = max(lengths[position] for position in batch)
        assert sum(longest - lengths[position] for position in batch) <= RUN_COST_TOKENS


def test_short_texts_do_not_share_a_batch_with_a_long_one() -> None:
    assert batches_by_length([5, 200, 6, 5], max_tokens=2_000) == [[1], [2, 0, 3]]
