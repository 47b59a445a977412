"""Which page a passage stands on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.pages import page_lengths, page_of


@st.composite
def texts_with_pages(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """Page starts as parsers give them (some pages may be missing), and the length of the text."""
    numbers = sorted(draw(st.sets(st.integers(1, 30), min_size=1)))
    starts = sorted(draw(st.lists(st.integers(0, 500), min_size=len(numbers), max_size=len(numbers))))
    return list(zip(numbers, starts, strict=True)), starts[-1] + draw(st.integers(1, 100))


@given(texts_with_pages())
def test_every_place_lies_on_the_last_page_that_begins_before_it(text: tuple[list[tuple[int, int]], int]) -> None:
    starts, chars = text
    lengths = page_lengths(starts, text_chars=chars)
    assert sum(lengths) == chars
    for offset in range(chars):
        begun = [number for number, start in starts if start <= offset]
        assert page_of(lengths, offset) == (begun[-1] if begun else page_of(lengths, 0))
    assert page_of(lengths, chars) is None


def test_what_stands_before_the_first_page_belongs_to_page_one() -> None:
    assert page_lengths([(1, 10), (2, 40)], text_chars=50) == [40, 10]


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=2_000))
def test_pages_never_go_back(starts: list[int]) -> None:
    lengths = page_lengths(list(enumerate(sorted(starts), 1)), text_chars=2_000)
    places = [page_of(lengths, offset) or 0 for offset in range(0, 2_000, 97)]
    assert all(first <= second for first, second in pairwise(places))


@pytest.mark.parametrize("value", [None, 12, "3", [], [1, -1], [True], [1.0], ["1"], {"1": 2}, [[1]]])
def test_a_callers_own_metadata_of_that_name_is_no_page_map(value: Any) -> None:
    assert page_of(value, 0) is None
