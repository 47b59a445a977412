"""A file's type is told by what is in it; bytes of any kind are a type or a refusal, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.reading import read_bytes
from advanced_rag.adapters.file_parsers.sniffing import FileType, sniffed
from advanced_rag.adapters.file_parsers.source import Source
from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile
from tests.unit.adapters.file_parsers import made_files as made

SMALL = ParseLimits(text_bytes=100_000, unpacked_bytes=1_000_000)
DOCX = made.docx(made.paragraph("hello"))
MESSAGE = made.eml("hello")
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)

BY_CONTENT = [
    (made.pdf(["hello"]), FileType.PDF),
    (b"\r\n" + made.pdf(["hello"]), FileType.PDF),
    (b"some mailer's line\r\n" + made.pdf(["hello"]), FileType.PDF),
    (DOCX, FileType.DOCX),
    (made.pptx([made.shape("hello")]), FileType.PPTX),
    (made.xlsx({"One": ""}), FileType.XLSX),
    (made.epub({"a.xhtml": "<p>hello</p>"}), FileType.EPUB),
    (made.zip_of({"[Content_Types].xml": "", "word/document2.xml": ""}), FileType.DOCX),
    (rb"{\rtf1 hello}", FileType.RTF),
    (b"<!DOCTYPE html><p>hello", FileType.HTML),
    (b"  <!-- a -->\n<!-- b -->\n<HTML><p>hello", FileType.HTML),
    (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><p>hello</p></html>', FileType.HTML),
]
NAMES = ["report", "report.txt", "report.pdf", "report.docx", "report.zip", "report.exe"]
BINARY_NAMES = (".pdf", ".docx", ".zip", ".exe")


def sniff(data: bytes, name: str = "") -> FileType:
    return sniffed(Source(data, name, SMALL))


@pytest.mark.req("R8.10")
@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [
        (data, kind, name)
        for data, kind in BY_CONTENT
        for name in NAMES
        # A page under the name of another format is refused, see below.
        if not (kind is FileType.HTML and name.endswith(BINARY_NAMES))
    ],
)
def test_what_can_be_told_from_the_content_is_the_same_under_every_name(data: bytes, kind: FileType, name: str) -> None:
    assert sniff(data, name) is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", FileType.TXT),
        ("a", FileType.TXT),
        ("a.rst", FileType.TXT),
        ("A.MD", FileType.MD),
        ("a.markdown", FileType.MD),
        ("a.csv", FileType.CSV),
        ("a.tsv", FileType.CSV),
        ("a.json", FileType.JSON),
        ("a.htm", FileType.HTML),
        ("folder\\a.csv", FileType.CSV),
        ("folder.csv/a.md", FileType.MD),
    ],
)
def test_the_name_chooses_among_formats_that_are_plain_text(name: str, kind: FileType) -> None:
    assert sniff(b"one, two\n1, 2\n", name) is kind


def test_a_text_whose_name_says_nothing_is_told_by_how_it_begins() -> None:
    assert sniff(b'{"a": [1, 2]}') is FileType.JSON
    assert sniff(b"{cut short") is FileType.TXT
    assert sniff(MESSAGE) is FileType.EML
    assert sniff(b"From: nobody in particular\n\nhello") is FileType.TXT
    assert sniff(b"To: do\nSubject: to change\nwithout notice\n") is FileType.TXT


def test_a_message_is_known_in_utf_16_too() -> None:
    assert sniff(MESSAGE.decode().encode("utf-16"), "a.eml") is FileType.EML


@pytest.mark.parametrize(
    ("data", "name", "code", "word"),
    [
        (b"", "a.pdf", "unreadable-file", "empty"),
        (b" \r\n\t ", "a.txt", "unreadable-file", "empty"),
        ("\ufeff \n".encode("utf-16-le"), "a.txt", "unreadable-file", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a.txt", "unsupported-media-type", "PNG"),
        (b"MZ" + bytes(100), "a.md", "unsupported-media-type", "program"),
        (bytes(range(256)) * 4, "a.txt", "unsupported-media-type", "no text"),
        (OLE, "a.doc", "unsupported-media-type", "older Office"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "a.docx", "unreadable-file", "password"),
        (made.zip_of({"a.txt": "hello"}), "a.docx", "unsupported-media-type", "zip"),
        (DOCX[:-50], "a.docx", "unreadable-file", "damaged"),
        (b"<html><p>Please log in</p></html>", "report.pdf", "unreadable-file", ".pdf"),
        (b"not really a letter", "a.eml", "unreadable-file", "mail"),
        (b'<?xml version="1.0"?><svg/>', "a.svg", "unsupported-media-type", "XML"),
    ],
)
def test_what_is_not_read_is_refused_with_a_reason_for_people(data: bytes, name: str, code: str, word: str) -> None:
    with pytest.raises(FileRefused, match=word) as refused:
        sniff(data, name)
    assert refused.value.code == code


def test_a_text_that_begins_like_a_program_is_a_text() -> None:
    assert sniff(b"MZ is how DOS programs begin.", "a.txt") is FileType.TXT


def outcome(data: bytes, name: str) -> ParsedFile | FileRefused:
    try:
        return read_bytes(data, name, SMALL)
    except FileRefused as refusal:
        return refusal


def check(read: ParsedFile | FileRefused) -> None:
    if isinstance(read, FileRefused):
        assert read.code in {"unreadable-file", "payload-too-large", "unsupported-media-type"}
        assert str(read).endswith(".")
    else:
        assert read.text.strip()
        assert "\x00" not in read.text
        assert read.text.encode()  # no lone surrogate
        assert all(0 <= page.start <= len(read.text) for page in read.pages)


MAGICS = st.sampled_from(
    [
        b"",
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"{\\rtf1",
        b"<html>",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"[",
        OLE[:8],
    ]
)
FILE_NAMES = st.sampled_from(["a", *(f"a.{kind.value}" for kind in FileType)]) | st.text(max_size=20)


@pytest.mark.req("R8.10")
@settings(max_examples=300, deadline=None)
@given(MAGICS, st.binary(max_size=400), FILE_NAMES)
@example(b"", b"\x1b$", "a.txt")
@example(b"[", b"[" * 20_000, "a.json")
@example(b"{\\rtf1", b"{" * 20_000 + b"\\bin99999999", "a.rtf")
def test_any_bytes_are_read_or_refused(magic: bytes, rest: bytes, name: str) -> None:
    check(outcome(magic + rest, name))


@pytest.mark.req("R8.10")
@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        [data for data, _ in BY_CONTENT] + [MESSAGE, made.notes_of(1, "x")["ppt/notesSlides/notes.xml"].encode()]
    ),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=20),
    st.integers(0, 10_000),
)
def test_a_file_with_broken_bytes_is_read_or_refused(data: bytes, faults: list[tuple[int, int]], end: int) -> None:
    broken = bytearray(data)
    for place, value in faults:
        broken[place % len(broken)] = value
    if end % 3 == 0:
        del broken[end % len(broken) :]
    check(outcome(bytes(broken), "a"))
