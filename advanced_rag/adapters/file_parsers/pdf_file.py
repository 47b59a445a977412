"""PDF, by PDFium: text page by page. Scripts, links, forms and attachments are not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import c_double
from math import hypot
from typing import Any, Final

import pypdfium2
from pypdfium2 import raw

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, one_line, storable
from advanced_rag.adapters.file_parsers.pdf_layout import Headings, Line, write_page
from advanced_rag.adapters.file_parsers.refusals import too_large, unreadable
from advanced_rag.adapters.file_parsers.source import Content, Source

_LINE_FEED: Final = 10
_CARRIAGE_RETURN: Final = 13
_BOLD: Final = 600


def read(source: Source) -> Content:
    """Raises FileRefused for encrypted, damaged and endless documents."""
    document = _opened(source.data)
    count = len(document)
    if count > source.limits.pages:
        raise too_large(f"The file has more than {source.limits.pages:,} pages.")
    pages = _pages(document, count, source.limits)
    if not pages:
        raise unreadable("The file is damaged: none of its pages can be read.")
    headings = Headings(lines for _, lines in pages)
    out = MarkdownWriter(source.limits)
    for number, lines in pages:
        out.page(number)
        write_page(lines, headings, out)
    said = document.get_metadata_dict(skip_empty=True)
    title, author = (one_line(storable(said.get(name, ""))) for name in ("Title", "Author"))
    metadata: dict[str, Any] = {"page_count": count}
    if author:
        metadata["author"] = author
    return Content(text=out.text, titles=(title, out.first_heading), pages=out.pages, metadata=metadata)


def _opened(data: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise unreadable("The file is protected by a password.") from error
        if error.err_code == raw.FPDF_ERR_SECURITY:
            raise unreadable("The file is encrypted in a way that is not read here.") from error
        raise unreadable("The file is damaged: it cannot be opened as a PDF.") from error


def _pages(document: Any, count: int, limits: ParseLimits) -> list[tuple[int, list[Line]]]:
    """Page numbers from 1 and their lines; a page that is damaged does not cost the others."""
    pages: list[tuple[int, list[Line]]] = []
    chars = 0
    for index in range(count):
        try:
            page = document[index]
            text = page.get_textpage()
        except pypdfium2.PdfiumError:
            continue
        chars += text.count_chars()
        if chars > limits.text_bytes:
            raise too_large(f"The file holds more than {limits.text_bytes:,} bytes of text.")
        pages.append((index + 1, list(_lines(text))))
        text.close()
        page.close()
    return pages


def _lines(text: Any) -> Iterator[Line]:
    """Lines that hold more than white space."""
    units: list[int] = []
    places: list[int] = []
    for index in range(text.count_chars()):
        unit = raw.FPDFText_GetUnicode(text, index)
        if unit == _LINE_FEED:
            yield from _line(text, units, places)
            units, places = [], []
        elif unit != _CARRIAGE_RETURN:
            units.append(unit)
            places.append(index)
    yield from _line(text, units, places)


def _line(text: Any, units: list[int], places: list[int]) -> Iterator[Line]:
    written = _characters(units)
    if not written.strip():
        return
    seen = [place for unit, place in zip(units, places, strict=True) if not chr(unit).isspace()]
    first, last = seen[0], seen[-1]
    yield Line(
        text=written.strip(),
        left=_box(text, first).left,
        right=_box(text, last).right,
        baseline=_baseline(text, first),
        end_baseline=_baseline(text, last),
        size=_size(text, first),
        is_bold=raw.FPDFText_GetFontWeight(text, first) >= _BOLD,
    )


def _characters(units: list[int]) -> str:
    """PDFium counts in UTF-16 on some platforms: two surrogates are one character."""
    joined = "".join(map(chr, units))
    return joined.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")


def _box(text: Any, index: int) -> Any:
    """A character's place; zeros where PDFium knows none."""
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(text, index, box)
    return box


def _baseline(text: Any, index: int) -> float:
    x, y = c_double(), c_double()
    raw.FPDFText_GetCharOrigin(text, index, x, y)
    return y.value


def _size(text: Any, index: int) -> float:
    """Of the font as it is drawn, for many documents set it to 1 and scale the text; 0 for text that stands upright."""
    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(text, index, matrix)
    if abs(matrix.b) > abs(matrix.a):
        return 0.0
    return float(raw.FPDFText_GetFontSize(text, index)) * hypot(matrix.c, matrix.d)
