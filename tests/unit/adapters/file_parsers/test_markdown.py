"""The one form in which every file's content leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, storable
from advanced_rag.exceptions import FileRefused


def writer(**limits: int) -> MarkdownWriter:
    return MarkdownWriter(ParseLimits(**limits))


def test_blocks_are_apart_and_items_of_a_list_are_not() -> None:
    out = writer()
    out.heading(2, "A\nheading")
    out.paragraph("  one\n\n\n  two  ")
    out.item("first", number=1)
    out.item("inner\nwith two lines", depth=1)
    out.paragraph("after")
    out.code("def f():\n    return '```'\n")
    assert out.text == (
        "## A heading\n\none\ntwo\n\n1. first\n  - inner\n    with two lines\n\nafter\n\n"
        "````\ndef f():\n    return '```'\n````"
    )
    assert out.first_heading == "A heading"


def test_a_table_has_a_head_and_no_empty_rows_or_ends() -> None:
    out = writer()
    out.table([["", ""], ["a", "b|c", ""], [" "], ["1\n2", "", ""], ["", "x"]])
    assert out.text == "| a | b\\|c |\n| --- | --- |\n| 1 2 |\n|  | x |"


def test_nothing_is_written_for_nothing() -> None:
    out = writer()
    out.heading(1, " ")
    out.paragraph("\n")
    out.item("")
    out.code("\n\n")
    out.table([["", " "], []])
    assert out.text == ""


def test_a_page_begins_where_its_first_block_does() -> None:
    out = writer()
    out.page(1)
    out.paragraph("first \U0001f40b")
    out.page(2)
    out.page(3)
    out.item("third")
    starts = [out.text[page.start :] for page in out.pages]
    assert starts == ["first \U0001f40b\n\n- third", "- third", "- third"]
    assert [page.number for page in out.pages] == [1, 2, 3]


@given(
    st.lists(
        st.tuples(st.sampled_from(["page", "heading", "paragraph", "item", "code", "table"]), st.text(max_size=20))
    )
)
def test_pages_are_in_order_and_within_the_text(blocks: list[tuple[str, str]]) -> None:
    out = writer()
    for kind, text in blocks:
        if kind == "page":
            out.page(len(out.pages) + 1)
        elif kind == "heading":
            out.heading(1, text)
        elif kind == "table":
            out.table([[text, text]])
        else:
            getattr(out, kind)(text)
    starts = [page.start for page in out.pages]
    assert starts == sorted(starts)
    assert all(0 <= start <= len(out.text) for start in starts)
    assert out.bytes_written == len(out.text.encode())


@given(st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\x00")))
def test_what_cannot_be_stored_is_replaced_in_place(text: str) -> None:
    clean = storable(text)
    assert len(clean) == len(text)
    assert "\x00" not in clean
    assert clean.encode() or not text


@pytest.mark.req("R8.10")
def test_what_becomes_too_much_is_refused_while_it_is_written() -> None:
    out = writer(text_bytes=10)
    out.paragraph("1234567890")
    with pytest.raises(FileRefused, match="10 bytes"):
        out.paragraph("1")
    with pytest.raises(FileRefused, match="2 columns"):
        writer(columns=2).table([["a", "b", "c"]])
    pages = writer(pages=1)
    pages.page(1)
    with pytest.raises(FileRefused, match="1 pages"):
        pages.page(2)
