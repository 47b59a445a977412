"""What a file is, told by what is in it; its name only chooses among formats that are all plain text."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Final

from advanced_rag.adapters.file_parsers.archive import ZipArchive
from advanced_rag.adapters.file_parsers.refusals import unreadable, unsupported
from advanced_rag.adapters.file_parsers.source import Source


class FileType(StrEnum):
    """The formats that are read."""

    TXT = "txt"
    MD = "md"
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    CSV = "csv"
    JSON = "json"
    EML = "eml"
    EPUB = "epub"
    RTF = "rtf"


_TEXT_SUFFIXES: Final = {
    ".txt": FileType.TXT,
    ".text": FileType.TXT,
    ".log": FileType.TXT,
    ".md": FileType.MD,
    ".markdown": FileType.MD,
    ".html": FileType.HTML,
    ".htm": FileType.HTML,
    ".xhtml": FileType.HTML,
    ".csv": FileType.CSV,
    ".tsv": FileType.CSV,
    ".json": FileType.JSON,
    ".eml": FileType.EML,
}
# A text under one of these names is not what it says: mostly the error page that a download got in its place.
_NOT_TEXT_SUFFIXES: Final = frozenset(
    [
        ".pdf",
        ".docx",
        ".doc",
        ".docm",
        ".pptx",
        ".ppt",
        ".pptm",
        ".xlsx",
        ".xls",
        ".xlsm",
        ".epub",
        ".rtf",
        ".zip",
        ".gz",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".exe",
    ]
)
_OFFICE_PARTS: Final = {
    "word/document.xml": FileType.DOCX,
    "ppt/presentation.xml": FileType.PPTX,
    "xl/workbook.xml": FileType.XLSX,
    "meta-inf/container.xml": FileType.EPUB,
}
_OFFICE_FOLDERS: Final = {"word/": FileType.DOCX, "ppt/": FileType.PPTX, "xl/": FileType.XLSX}
_CONTENT_TYPES: Final = "[Content_Types].xml"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_PDF: Final = re.compile(rb"\s*%PDF-\d")
_LATE_PDF: Final = re.compile(rb"%PDF-\d\.\d")
_LATE_PDF_WITHIN_BYTES: Final = 1_024
_PDF_OBJECT: Final = re.compile(rb"\d{1,10}\s{1,10}\d{1,5}\s{1,10}obj\b")
_RTF: Final = re.compile(rb"\s*\{\\rtf")
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_OTHERS: Final = (
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"SQLite format 3\x00", "an SQLite database"),
)
_CONTROL: Final = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_BINARY_SAMPLE_CHARS: Final = 1_000_000
_MAX_CONTROL_SHARE: Final = 0.05
_MAX_NUL_SHARE: Final = 0.3
_BEGINS_HTML: Final = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_BEGINS_XML: Final = re.compile(r"\s*<\?xml\s")
_BEGINS_JSON: Final = re.compile(r"\s*[\[{]")
_HEADER: Final = re.compile(r"([!-9;-~]{1,76}):")
_TELLING_HEADERS: Final = frozenset(
    [
        "from",
        "to",
        "subject",
        "date",
        "received",
        "mime-version",
        "message-id",
        "return-path",
        "delivered-to",
        "content-type",
        "reply-to",
        "cc",
    ]
)
_MIN_TELLING_HEADERS: Final = 2
_HEADER_CHARS: Final = 65_536


def sniffed(source: Source) -> FileType:
    """Raises FileRefused for empty files and for types that are not read."""
    data = source.data
    if not data.strip():
        raise unreadable("The file is empty.")
    if data.startswith(_ZIP):
        return _zip_type(ZipArchive(data, source.limits))
    if _PDF.match(data) or (_LATE_PDF.search(data, 0, _LATE_PDF_WITHIN_BYTES) and _PDF_OBJECT.search(data)):
        return FileType.PDF
    if _RTF.match(data):
        return FileType.RTF
    if data.startswith(_OLE):
        if _OLE_ENCRYPTED in data:
            raise unreadable("The file is protected by a password.")
        raise unsupported("The file is in an older Office format, which is not read here; save it as docx, pptx, xlsx.")
    for magic, name in _OTHERS:
        if data.startswith(magic) and _is_binary(data.decode("latin-1")):
            raise unsupported(f"The file is {name}, which is not read here.")
    return _text_type(source)


def _zip_type(archive: ZipArchive) -> FileType:
    for part, kind in _OFFICE_PARTS.items():
        if part in archive:
            return kind
    # A document may lie elsewhere in its folder; then only the package's own words tell a document from an archive.
    if _CONTENT_TYPES in archive:
        for folder, kind in _OFFICE_FOLDERS.items():
            if archive.has_folder(folder):
                return kind
    raise unsupported("The file is a zip archive of something that is not read here.")


def _text_type(source: Source) -> FileType:
    text = source.decoded.text
    if _is_binary(text):
        raise unsupported("The file is no text, and of no type that is read here.")
    if not text.strip():
        raise unreadable("The file is empty.")
    if source.suffix in _NOT_TEXT_SUFFIXES:
        raise unreadable(f"The file is damaged: its name ends in {source.suffix}, but it holds something else.")
    named = _TEXT_SUFFIXES.get(source.suffix)
    if named is FileType.EML:
        if not _is_message(text):
            raise unreadable("The file is damaged: it does not begin like a mail message.")
        return named
    if _BEGINS_HTML.match(text):
        return FileType.HTML
    return named or _unnamed_type(text)


def _unnamed_type(text: str) -> FileType:
    """Of a text whose name says nothing."""
    if _BEGINS_XML.match(text):
        raise unsupported("The file is XML, which is not read here.")
    if _is_message(text):
        return FileType.EML
    if _BEGINS_JSON.match(text):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return FileType.TXT
        return FileType.JSON
    return FileType.TXT


def _is_binary(text: str) -> bool:
    """More control characters than any text has. NULs count apart: some programs pad with them."""
    sample = text[:_BINARY_SAMPLE_CHARS]
    controls = len(_CONTROL.findall(sample))
    return controls > len(sample) * _MAX_CONTROL_SHARE or sample.count("\x00") > len(sample) * _MAX_NUL_SHARE


def _is_message(text: str) -> bool:
    """Nothing but header fields up to the first empty line, at least two of them ones that mail has."""
    telling = set()
    for number, line in enumerate(text[:_HEADER_CHARS].lstrip("\r\n").splitlines()):
        if not line.strip():
            break
        found = _HEADER.match(line)
        if found is not None:
            telling.add(found[1].lower())
        elif not line[0].isspace() and not (number == 0 and line.startswith("From ")):
            return False
    return len(telling & _TELLING_HEADERS) >= _MIN_TELLING_HEADERS
