"""PDF: pages, and the structure that can be seen from where and how large its lines stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter
from advanced_rag.adapters.file_parsers.pdf_layout import Headings, Line, write_page
from advanced_rag.adapters.file_parsers.reading import read_bytes
from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile
from tests.unit.adapters.file_parsers import made_files as made


def read(data: bytes, **limits: int) -> ParsedFile:
    return read_bytes(data, "report.pdf", ParseLimits(**limits))


def test_pages_and_headings_are_kept() -> None:
    file = read(made.pdf(["# Storms\nThe keeper logged seventeen storms.", "", "# Calm\nThen none."]))
    assert file.text == "# Storms\n\nThe keeper logged seventeen storms.\n\n# Calm\n\nThen none."
    assert [(page.number, file.text[page.start :][:6]) for page in file.pages] == [
        (1, "# Stor"),
        (2, "# Calm"),
        (3, "# Calm"),
    ]
    assert (file.title, file.metadata) == ("Storms", {"page_count": 3})


@pytest.mark.parametrize(
    ("said", "title"),
    [("A log", "A log"), ("untitled", "Storms"), ("Microsoft Word - log.doc", "Storms"), ("", "Storms")],
)
def test_a_title_that_a_program_put_in_is_none(said: str, title: str) -> None:
    assert read(made.pdf(["# Storms\nSome text that is longer than that."], title=said)).title == title


@pytest.mark.req("R8.10")
def test_more_pages_than_the_limit_are_refused() -> None:
    with pytest.raises(FileRefused, match="1 pages") as refused:
        read(made.pdf(["a", "b"]), pages=1)
    assert refused.value.code == "payload-too-large"


def test_a_pdf_without_text_says_what_could_be_done() -> None:
    with pytest.raises(FileRefused, match="pictures") as refused:
        read(made.pdf([""]))
    assert refused.value.code == "unreadable-file"


@pytest.mark.parametrize("keep", [9, 60, 300])
def test_a_pdf_that_ends_early_is_damaged(keep: int) -> None:
    with pytest.raises(FileRefused, match="damaged"):
        read(made.pdf(["text"])[:keep])


def test_a_pdf_whose_table_is_wrong_is_read_all_the_same() -> None:
    assert read(made.pdf(["text"]).replace(b"0000000009", b"0000004711")).text == "text"


def line(
    text: str, y: float, *, size: float = 10, right: float = 500, bold: bool = False, end: float | None = None
) -> Line:
    return Line(text, 50, right, y, y if end is None else end, size, bold)


def written(*lines: Line) -> str:
    out = MarkdownWriter(ParseLimits())
    write_page(lines, Headings([lines]), out)
    return out.text


BODY = [line("body text " * 8, 700 - 12 * n) for n in range(4)]


def test_wrapped_lines_are_joined_and_short_ones_keep_their_end() -> None:
    assert written(
        line("a line up to the margin", 700), line("goes on here", 688, right=200), line("and one more", 676)
    ) == ("a line up to the margin goes on here\nand one more")


def test_a_wider_gap_begins_a_paragraph() -> None:
    lines = [line("one", 700), line("two", 688), line("three", 660), line("four", 648), line("five", 636)]
    assert written(*lines) == "one two\n\nthree four five"


def test_a_new_column_begins_a_paragraph() -> None:
    assert written(line("one", 700), line("two", 688), line("right column", 700)) == "one two\n\nright column"


def test_bullets_and_numbers_begin_items() -> None:
    text = written(
        line("\u2022 first", 700),
        line("goes on", 688),
        line("\uf0b7 second", 676),
        line("3) third", 664),
        line("4. x", 652),
    )
    assert text == "- first goes on\n- second\n3. third\n4. x"


def test_hyphens_that_break_words_are_gone() -> None:
    assert written(line("exam\ufffe", 700), line("ple and soft\u00adware", 688)) == "example and software"


def test_a_line_that_pdfium_joined_ends_lower_than_it_begins() -> None:
    lines = [line("one", 700), line("two and three", 688, end=676), line("four", 664), line("five", 652)]
    assert written(*lines) == "one two and three four five"


def test_what_is_larger_is_a_heading_and_what_is_bold_needs_less() -> None:
    text = written(
        line("Largest", 760, size=20),
        line("goes on", 745, size=20),
        line("Bold one", 725, size=11, bold=True),
        *BODY,
        line("11 points", 600, size=11),
        line("7", 580, size=20),
    )
    assert text.startswith("# Largest goes on\n\n## Bold one\n\nbody text")
    assert text.endswith("\n\n11 points 7")


@given(
    st.lists(
        st.builds(
            Line,
            text=st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip())),
            left=st.floats(-1e6, 1e6),
            right=st.floats(-1e6, 1e6),
            baseline=st.floats(-1e6, 1e6),
            end_baseline=st.floats(-1e6, 1e6),
            size=st.floats(0, 1e6),
            is_bold=st.booleans(),
        ),
        max_size=12,
    )
)
def test_lines_anywhere_are_written_somewhere(lines: list[Line]) -> None:
    out = written(*lines)
    for one in lines:
        for word in one.text.split():
            if word.isascii() and word.isalnum() and len(word) > 3:
                assert word in out
