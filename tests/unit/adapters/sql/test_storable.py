from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.sql.storable import is_storable, refuse_unstorable
from advanced_rag.constants import MAX_ID_CHARS
from advanced_rag.exceptions import ValidationError


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_every_other_text_can_be_stored(text: str) -> None:
    assert is_storable(text)
    refuse_unstorable(identifiers={"/id": text[:MAX_ID_CHARS]}, values={"/text": text, "/metadata": {text: [text]}})


@given(st.text(max_size=5), st.sampled_from(["\0", "\ud800", "\udbff", "\udc00", "\udfff"]), st.text(max_size=5))
def test_nul_and_half_a_pair_cannot(before: str, odd: str, after: str) -> None:
    assert not is_storable(before + odd + after)


@pytest.mark.parametrize(
    ("metadata", "loc"),
    [
        ({"a": "\0"}, "/metadata/a"),
        ({"a": {"b": ["x", "\0"]}}, "/metadata/a/b/1"),
        ({"a/b~c": "\0"}, "/metadata/a~1b~0c"),
        ({"\0": 1}, "/metadata"),
        ({"a": {"\ud800": 1}}, "/metadata/a"),
    ],
)
def test_the_place_is_named_by_its_pointer(metadata: Any, loc: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        refuse_unstorable(identifiers={}, values={"/metadata": metadata})
    assert [error.loc for error in refusal.value.errors] == [loc]


def test_all_refused_fields_are_named_and_no_value_is_repeated() -> None:
    with pytest.raises(ValidationError) as refusal:
        refuse_unstorable(
            identifiers={"/id": "secret" * 100, "/user_id": None, "/domain": ""}, values={"/text": "secret\0", "/n": 1}
        )
    assert [error.loc for error in refusal.value.errors] == ["/id", "/text"]
    assert "secret" not in str(refusal.value)
