"""Names of files: shown, and made into ids; never into paths (R8.11)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.api.schemas.base import ID_PATTERN
from advanced_rag.constants import MAX_FILE_NAME_CHARS
from advanced_rag.domain.file_names import document_id_of, shown_name


@pytest.mark.req("R8.11")
@given(st.text(max_size=600))
def test_any_name_becomes_one_short_line_and_an_id(name: str) -> None:
    shown = shown_name(name)
    assert 1 <= len(shown) <= MAX_FILE_NAME_CHARS
    assert shown.isprintable()
    assert not {"", ".", ".."} & set(shown.split("/"))
    assert re.fullmatch(ID_PATTERN, document_id_of(name))


@pytest.mark.req("R8.11")
@pytest.mark.parametrize(
    ("name", "shown", "identity"),
    [
        ("report.pdf", "report.pdf", "report.pdf"),
        ("../../x", "x", "x"),
        ("/etc/passwd", "etc/passwd", "etc/passwd"),
        ("C:\\Users\\me\\Jahresbericht 2025.docx", "Jahresbericht 2025.docx", "Jahresbericht-2025.docx"),
        ("rescue/callouts.csv", "rescue/callouts.csv", "rescue/callouts.csv"),
        ("Hu\u0308tte.md", "Hütte.md", "Hütte.md"),
        ("a\r\nSet-Cookie: x=1", "a  Set-Cookie: x=1", "a-Set-Cookie:-x-1"),
        ("<script>.html", "<script>.html", "-script-.html"),
        ("..", "file", "file"),
        ("", "file", "file"),
    ],
)
def test_names_as_they_come(name: str, shown: str, identity: str) -> None:
    assert (shown_name(name), document_id_of(name)) == (shown, identity)


def test_a_long_name_keeps_its_suffix() -> None:
    assert shown_name("x" * 400 + ".pdf") == "x" * 251 + ".pdf"
    assert document_id_of("x" * 400 + ".pdf") == "x" * 124 + ".pdf"
