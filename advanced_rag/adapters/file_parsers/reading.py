"""One file from bytes to ParsedFile, in this process: sniff, read, check what came out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.markdown import one_line, storable
from advanced_rag.adapters.file_parsers.refusals import too_large, unreadable
from advanced_rag.adapters.file_parsers.sniffing import FileType, sniffed
from advanced_rag.adapters.file_parsers.source import Content, Source
from advanced_rag.constants import MAX_TITLE_CHARS
from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile

Reader = Callable[[Source], Content]

_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
MEDIA_TYPES: Final = {
    FileType.TXT: "text/plain",
    FileType.MD: "text/markdown",
    FileType.HTML: "text/html",
    FileType.PDF: "application/pdf",
    FileType.DOCX: f"{_OFFICE}.wordprocessingml.document",
    FileType.PPTX: f"{_OFFICE}.presentationml.presentation",
    FileType.XLSX: f"{_OFFICE}.spreadsheetml.sheet",
    FileType.CSV: "text/csv",
    FileType.JSON: "application/json",
    FileType.EML: "message/rfc822",
    FileType.EPUB: "application/epub+zip",
    FileType.RTF: "application/rtf",
}
_MODULES: Final = {FileType.MD: ("text_file", "read_markdown"), FileType.TXT: ("text_file", "read")}
# Titles that programs put in by themselves: a file's name, or that nobody gave one.
_NO_TITLE: Final = re.compile(
    r"\W*|\(?(?:untitled|anonymous|document|dokument|no ?title)[\s\d]*\)?|powerpoint[ -]presentation|presentation\s*\d*"
    r"|microsoft \w+ - .*|slide\s*\d*|.*\.(?:docx?|pptx?|xlsx?|pdf|indd|tex|dvi|rtf|odt|html?|txt)",
    re.IGNORECASE,
)
_NO_TEXT: Final = "The file holds no text."
_NO_TEXT_PDF: Final = "The file holds no text; if its pages are pictures, their text has to be recognised first."


def reader_of(kind: FileType) -> Reader:
    """Imports the format's reader with its library, and no other's: imports are most of a small file's cost."""
    module, function = _MODULES.get(kind, (f"{kind.value}_file", "read"))
    reader: Reader = getattr(import_module(f"{__package__}.{module}"), function)
    return reader


@contextmanager
def damage_refused(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is the file's fault: hostile bytes make any library raise anything."""
    try:
        yield
    except FileRefused:
        raise
    except MemoryError as error:
        raise too_large("The file needs more memory than reading it is worth.") from error
    except Exception as error:
        raise unreadable(f"The file is damaged: it cannot be read as {what}.") from error


def file_type(source: Source) -> FileType:
    """Raises FileRefused and nothing else."""
    with damage_refused("what it begins like"):
        return sniffed(source)


def parsed(source: Source, kind: FileType, reader: Reader) -> ParsedFile:
    """Raises FileRefused and nothing else, however the file is broken."""
    with damage_refused(kind.value):
        content = reader(source)
    if not content.text.strip():
        raise unreadable(_NO_TEXT_PDF if kind is FileType.PDF else _NO_TEXT)
    text = storable(content.text)
    if len(text.encode()) > source.limits.text_bytes:
        raise too_large(f"The file holds more than {source.limits.text_bytes:,} bytes of text.")
    return ParsedFile(
        text=text,
        title=_title(content, source),
        media_type=MEDIA_TYPES[kind],
        pages=content.pages,
        metadata={name: value for name, value in content.metadata.items() if value},
    )


def _title(content: Content, source: Source) -> str:
    """What the file calls itself; else what its sender calls it."""
    lines = (storable(one_line(title)) for title in content.titles)
    own = next((line for line in lines if not _NO_TITLE.fullmatch(line)), "")
    return (own or storable(one_line(source.stem)))[:MAX_TITLE_CHARS]


def read_bytes(data: bytes, file_name: str, limits: ParseLimits) -> ParsedFile:
    """All of it. Without the child process around it, so only for bytes that are trusted not to cost too much."""
    source = Source(data, file_name, limits)
    kind = file_type(source)
    return parsed(source, kind, reader_of(kind))
