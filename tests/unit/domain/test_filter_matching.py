"""Evaluation and simplification of filter trees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.documents import FieldValue
from advanced_rag.domain.filter_matching import matches, simplified
from advanced_rag.domain.filters import (
    AllOf,
    AnyOf,
    Comparator,
    Compare,
    Constant,
    Exists,
    Filter,
    Overlaps,
    Within,
)

numbers = st.integers(0, 3)
leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Constant, st.booleans()),
    st.builds(Compare, st.sampled_from("ab"), st.sampled_from(Comparator), numbers, st.booleans()),
    st.builds(Within, st.sampled_from("ab"), st.lists(numbers, max_size=3).map(tuple), st.booleans(), st.booleans()),
    st.builds(Overlaps, st.just("many"), st.lists(numbers, max_size=3).map(tuple), st.booleans()),
    st.builds(Exists, st.sampled_from(["a", "many", "domain"]), st.booleans()),
)
trees: st.SearchStrategy[Filter] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=12,
)
rows = st.fixed_dictionaries(
    {"domain": st.just("")},
    optional={"a": numbers, "b": numbers, "many": st.lists(numbers, max_size=3).map(tuple)},
)


def _has_foldable_parts(tree: Filter) -> bool:
    if not isinstance(tree, AllOf | AnyOf):
        return False
    return len(tree.parts) < 2 or any(
        isinstance(part, Constant | type(tree)) or _has_foldable_parts(part) for part in tree.parts
    )


@given(trees, rows)
def test_simplifying_changes_no_answer(tree: Filter, row: dict[str, FieldValue]) -> None:
    assert matches(simplified(tree), row) is matches(tree, row)


@given(trees)
def test_simplifying_leaves_nothing_to_fold_and_is_repeatable(tree: Filter) -> None:
    once = simplified(tree)
    assert not _has_foldable_parts(once)
    assert simplified(once) == once


def test_an_absent_field_equals_null() -> None:
    assert not matches(Compare("a", Comparator.NE, 1), {})
    assert matches(Compare("a", Comparator.NE, 1, or_absent=True), {})
    assert not matches(Within("a", (1,)), {})
    assert not matches(Overlaps("many", ("x",)), {})
    assert matches(Overlaps("many", ("x",), negated=True), {})


def test_an_empty_array_is_set_and_shares_nothing() -> None:
    assert matches(Exists("many"), {"many": ()})
    assert matches(Overlaps("many", (1,), negated=True), {"many": ()})


def test_a_string_is_not_a_list_of_its_characters() -> None:
    assert not matches(Overlaps("tags", ("a",)), {"tags": "abc"})
    assert matches(Overlaps("tags", ("abc",)), {"tags": "abc"})
