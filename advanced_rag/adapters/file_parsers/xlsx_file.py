"""Excel workbooks: one page a visible sheet, its name a heading, its rows a table. Read as a stream, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter
from advanced_rag.adapters.file_parsers.office_package import OfficePackage
from advanced_rag.adapters.file_parsers.refusals import too_large
from advanced_rag.adapters.file_parsers.source import Content, Source
from advanced_rag.adapters.file_parsers.xlsx_cells import CellReader, column_of, shared_strings
from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, child, children, name_of, streamed

_HIDDEN: Final = ("hidden", "veryHidden")
_ON: Final = ("1", "true")
_WORKSHEET: Final = "worksheet"


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
        since_1904=attribute_of(child(root, "workbookPr"), "date1904") in _ON,
    )
    out = MarkdownWriter(source.limits)
    filled = 0
    for number, sheet in enumerate(children(child(root, "sheets"), "sheet"), start=1):
        part = _part_of(package, workbook, sheet)
        if part is None or attribute(sheet, "state") in _HIDDEN:
            continue
        rows = _rows(package.content(part), cells, source.limits)
        first = next(rows, None)
        if first is not None:
            filled += 1
            out.page(number)
            out.heading(1, attribute(sheet, "name") or f"{number}")
            out.table(_with(first, rows))
    return Content(
        text=out.text,
        title=package.title,
        pages=out.pages,
        metadata={"author": package.author} if package.author else {},
    )


def attribute_of(element: Element | None, name: str) -> str | None:
    """An attribute of what may not be there."""
    return attribute(element, name) if element is not None else None


def _part_of(package: OfficePackage, workbook: str, sheet: Element) -> str | None:
    """The part of a worksheet; None for sheets that are charts or macros."""
    identifier = next((str(value) for key, value in sheet.items() if key.endswith("}id")), None)
    for relationship in package.relationships(workbook):
        if relationship.id == identifier and relationship.kind == _WORKSHEET:
            return relationship.target
    return None


def _rows(content: bytes, cells: CellReader, limits: ParseLimits) -> Iterator[list[str]]:
    """Rows that show something."""
    hidden: set[int] = set()
    for row in streamed(content, "row", "col"):
        if name_of(row) == "col":  # all of them stand before the first row
            hidden.update(_hidden_columns(row, limits))
            continue
        if attribute(row, "hidden") in _ON:
            continue
        texts: list[str] = []
        for cell in children(row, "c"):
            column = column_of(attribute(cell, "r"), len(texts))
            if column >= limits.columns:
                raise too_large(f"The file has a table of more than {limits.columns:,} columns.")
            text = cells.text(cell)
            if text and column not in hidden:
                texts.extend([""] * (column + 1 - len(texts)))
                texts[column] = text
        if texts:
            yield texts


def _hidden_columns(group: Element, limits: ParseLimits) -> range:
    first, last = attribute(group, "min") or "", attribute(group, "max") or ""
    if attribute(group, "hidden") not in _ON or not (first.isascii() and first.isdigit() and last.isdigit()):
        return range(0)
    return range(int(first) - 1, min(int(last), limits.columns))


def _with(first: list[str], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rest
