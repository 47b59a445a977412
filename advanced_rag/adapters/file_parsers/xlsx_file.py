"""Excel workbooks: one page a visible sheet, its name a heading, its rows a table. Read as a stream, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter
from advanced_rag.adapters.file_parsers.office_package import OfficePackage
from advanced_rag.adapters.file_parsers.refusals import too_large
from advanced_rag.adapters.file_parsers.source import Content, Source
from advanced_rag.adapters.file_parsers.xlsx_cells import CellReader, column_of, shared_strings
from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, child, children, streamed

Row: TypeAlias = tuple[tuple[int, str], ...]

_HIDDEN: Final = ("hidden", "veryHidden")
_ON: Final = ("1", "true")
_WORKSHEET: Final = "worksheet"
_SEPARATOR_CHARS: Final = 3


def read(source: Source) -> Content:
    """Raises FileRefused, or whatever a damaged file makes lxml raise.

    What a sheet claims to span is not believed: only the cells that are there are asked for.
    """
    package = OfficePackage(source)
    workbook = package.main_part
    root = package.xml(workbook)
    strings = package.related(workbook, "sharedStrings")
    cells = CellReader(
        shared_strings(streamed(package.content(strings), "si")) if strings is not None else [],
        package.optional_xml(package.related(workbook, "styles")),
        since_1904=_attribute_of(child(root, "workbookPr"), "date1904") in _ON,
    )
    out = MarkdownWriter(source.limits)
    for number, sheet in enumerate(children(child(root, "sheets"), "sheet"), start=1):
        part = _part_of(package, workbook, sheet)
        if part is None or attribute(sheet, "state") in _HIDDEN:
            continue
        rows = list(_rows(package.content(part), cells, source.limits))
        if rows:
            out.page(number)
            out.heading(1, attribute(sheet, "name") or f"{number}")
            out.table(_dense(rows))
    return Content(
        text=out.text,
        titles=(package.title,),
        pages=out.pages,
        metadata={"author": package.author} if package.author else {},
    )


def _attribute_of(element: Element | None, name: str) -> str | None:
    """An attribute of what may not be there."""
    return attribute(element, name) if element is not None else None


def _part_of(package: OfficePackage, workbook: str, sheet: Element) -> str | None:
    """The part of a worksheet; None for sheets that are charts or macros."""
    identifier = next((str(value) for key, value in sheet.items() if key.endswith("}id")), None)
    for relationship in package.relationships(workbook):
        if relationship.id == identifier and relationship.kind == _WORKSHEET:
            return relationship.target
    return None


def _rows(content: bytes, cells: CellReader, limits: ParseLimits) -> Iterator[Row]:
    """Rows that show something, as they are stored: only the cells that there are."""
    hidden: set[int] = set()
    shown = 0
    for row in streamed(content, "row", "col"):
        if row.get("min") is not None:  # a column; all of them stand before the first row
            hidden.update(_hidden_columns(row, limits))
            continue
        if row.get("hidden") in _ON:
            continue
        texts: dict[int, str] = {}
        column = -1
        for cell in children(row, "c"):
            column = column_of(cell.get("r"), column + 1)
            if column >= limits.columns:
                raise too_large(f"The file has a table of more than {limits.columns:,} columns.")
            if column not in hidden and (text := cells.text(cell)):
                texts[column] = text
                shown += len(text) + _SEPARATOR_CHARS
        if texts:
            yield tuple(texts.items())
        if shown > limits.text_bytes:
            raise too_large(f"The file holds more than {limits.text_bytes:,} bytes of text.")


def _dense(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Rows with a place for each column that anything stands in: one stray cell far out adds one column."""
    used = sorted({column for row in rows for column, _ in row})
    places = {column: place for place, column in enumerate(used)}
    for row in rows:
        texts = [""] * len(used)
        for column, text in row:
            texts[places[column]] = text
        yield texts


def _hidden_columns(group: Element, limits: ParseLimits) -> range:
    first, last = attribute(group, "min") or "", attribute(group, "max") or ""
    if attribute(group, "hidden") not in _ON or not (first.isascii() and first.isdigit() and last.isdigit()):
        return range(0)
    return range(int(first) - 1, min(int(last), limits.columns))
