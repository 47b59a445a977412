from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.sql.cursors import decoded_cursor, encoded_cursor
from advanced_rag.constants import INT64_MAX
from advanced_rag.exceptions import ValidationError

ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=128)


def forged(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@given(ids, st.integers(-INT64_MAX, INT64_MAX))
def test_a_position_comes_back(last_id: str, number: int) -> None:
    cursor = encoded_cursor("listing", (number, last_id))
    assert cursor.isascii()
    assert decoded_cursor("listing", cursor, (int, str)) == (number, last_id)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_else_is_refused_as_the_cursor(text: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        decoded_cursor("listing", text, (str,))
    assert [error.loc for error in refusal.value.errors] == ["/cursor"]


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        "listing",
        ["listing"],
        ["listing", 1, 2],
        ["other", 1],
        ["listing", "1"],
        ["listing", True],
        ["listing", 1.0],
        ["listing", None],
        ["listing", INT64_MAX + 1],
        [["listing"], 1],
    ],
)
def test_a_cursor_of_another_listing_or_a_forged_one_is_refused(content: object) -> None:
    with pytest.raises(ValidationError):
        decoded_cursor("listing", forged(content), (int,))


@pytest.mark.parametrize("odd", ["a\0b", "\ud800"])
def test_a_forged_position_that_no_store_could_look_for_is_refused(odd: str) -> None:
    with pytest.raises(ValidationError):
        decoded_cursor("listing", forged(["listing", odd]), (str,))


def test_a_cursor_of_any_length_is_refused_and_not_worked_through() -> None:
    with pytest.raises(ValidationError):
        decoded_cursor("listing", "W1sb" * 1_000_000, (int,))
