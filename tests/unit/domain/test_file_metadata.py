"""What is known of a document that came as a file, within the bounds of metadata."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.constants import MAX_METADATA_BYTES, MAX_METADATA_KEYS
from advanced_rag.domain.file_metadata import file_metadata

values = st.text(max_size=400) | st.integers() | st.lists(st.text(max_size=20), max_size=5)
metadata = st.dictionaries(st.text(max_size=20), values, max_size=MAX_METADATA_KEYS)


def made(given_: dict[str, Any], own: dict[str, Any], pages: int = 0) -> dict[str, Any]:
    starts = [(number, number * 3_000) for number in range(1, pages + 1)]
    return dict(
        file_metadata(given_, own, file_name="a.pdf", media_type="application/pdf", pages=starts, text_chars=10**7)
    )


def size(value: dict[str, Any]) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


@given(metadata, metadata, st.integers(0, 2_000))
def test_the_senders_metadata_stays_and_the_bounds_hold(
    given_: dict[str, Any], own: dict[str, Any], pages: int
) -> None:
    if size(given_) > MAX_METADATA_BYTES:
        return
    merged = made(given_, own, pages)
    assert merged.items() >= given_.items()
    assert len(merged) <= MAX_METADATA_KEYS
    assert size(merged) <= MAX_METADATA_BYTES


def test_a_file_says_its_name_type_and_what_it_knows() -> None:
    merged = made({"lang": "en", "author": "me"}, {"author": "Word", "page_count": 2}, pages=2)
    assert merged == {
        "lang": "en",
        "author": "me",
        "file_name": "a.pdf",
        "media_type": "application/pdf",
        "page_count": 2,
        "pages": [6_000, 9_994_000],
    }


def test_two_thousand_ordinary_pages_fit_and_beside_much_else_are_left_out() -> None:
    assert len(made({}, {}, pages=2_000)["pages"]) == 2_000
    merged = made({"abstract": "x" * 10_000}, {}, pages=2_000)
    assert "pages" not in merged
    assert merged["file_name"] == "a.pdf"
