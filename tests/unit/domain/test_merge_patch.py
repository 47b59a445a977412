"""JSON merge patch (RFC 7396)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.merge_patch import merge_patched

Json = dict[str, Any]
values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("abc", min_size=1, max_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc", min_size=1, max_size=1), values, max_size=3)


# The examples of RFC 7396, appendix A, whose target and patch are objects.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc(target: Json, patch: Json, result: Json) -> None:
    assert merge_patched(target, patch) == result


@given(objects, objects)
def test_repeating_a_patch_changes_nothing_and_the_arguments_stay(target: Json, patch: Json) -> None:
    before = repr((target, patch))
    once = merge_patched(target, patch)
    assert merge_patched(once, patch) == once
    assert repr((target, patch)) == before


@given(objects)
def test_an_object_laid_over_nothing_is_itself(patch: Json) -> None:
    assert merge_patched({}, patch) == patch
    assert merge_patched(patch, {}) == patch
