"""Word documents: what a reader of the printed page sees, with headings, lists, tables, text boxes and notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from advanced_rag.adapters.file_parsers.docx_styles import (
    ListPlace,
    Numbering,
    Styles,
    in_a_list,
    list_place,
    outline_level,
)
from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter, one_line
from advanced_rag.adapters.file_parsers.office_package import OfficePackage
from advanced_rag.adapters.file_parsers.refusals import unreadable
from advanced_rag.adapters.file_parsers.source import Content, Source
from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, child, children, descendants, name_of

# Deleted and moved-away text, instructions of fields, and the older copy of what `Choice` says too.
_UNSEEN: Final = frozenset(
    {"del", "moveFrom", "instrText", "delText", "Fallback", "rPr", "pPr", "sdtPr", "txbxContent"}
)
_SEEN_AS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_OFF: Final = frozenset({"0", "false", "off"})
_NOTES: Final = (("footnotes", "footnote"), ("endnotes", "endnote"))
_MAX_TABLE_DEPTH: Final = 8


def read(source: Source) -> Content:
    """Raises FileRefused, or whatever a damaged file makes lxml raise."""
    package = OfficePackage(source)
    part = package.main_part
    body = child(package.xml(part), "body")
    if body is None:
        raise unreadable("The file is damaged: its document has no body.")
    styles = Styles(package.optional_xml(package.related(part, "styles")))
    numbering = Numbering(package.optional_xml(package.related(part, "numbering")))
    document = _Document(styles, numbering, MarkdownWriter(source.limits))
    document.write_blocks(body)
    for kind, note in _NOTES:
        document.write_notes(package.optional_xml(package.related(part, kind)), note)
    out = document.out
    return Content(
        text=out.text,
        titles=(package.title, document.title, out.first_heading),
        metadata={"author": package.author} if package.author else {},
    )


class _Document:
    """Walks the body once and writes what is seen."""

    def __init__(self, styles: Styles, numbering: Numbering, out: MarkdownWriter) -> None:
        self.out = out
        self.title = ""
        self._styles = styles
        self._numbering = numbering

    def write_blocks(self, parent: Element) -> None:
        for block in _blocks(parent):
            if name_of(block) == "p":
                self._write_paragraph(block)
            else:
                self.out.table(_rows(block))

    def write_notes(self, root: Element | None, name: str) -> None:
        """Footnotes and endnotes come last; no mark of theirs cuts a sentence of the text in two."""
        for note in children(root, name):
            # Separators are notes too, with a type.
            if attribute(note, "type") in (None, "normal"):
                text = one_line(" ".join(_text(paragraph) for paragraph in descendants(note, "p")))
                if text:
                    self.out.paragraph(f"[^{attribute(note, 'id')}]: {text}")

    def _write_paragraph(self, paragraph: Element) -> None:
        properties = child(paragraph, "pPr")
        style = child(properties, "pStyle")
        style_id = attribute(style, "val") if style is not None else None
        text = _text(paragraph)
        level = outline_level(properties) or self._styles.heading_level(style_id)
        place = list_place(properties) or self._styles.list_place(style_id)
        if level is not None:
            if self._styles.is_title(style_id):
                self.title = self.title or one_line(text)
            self.out.heading(level, text)
        elif in_a_list(place) and text.strip():
            self._write_item(text, place)
        else:
            self.out.paragraph(text)
        for box in _boxes(paragraph):
            self.write_blocks(box)

    def _write_item(self, text: str, place: ListPlace | None) -> None:
        if place is not None:
            self.out.item(text, depth=place.depth, number=self._numbering.next_number(place))


def _blocks(parent: Element) -> Iterator[Element]:
    """Paragraphs and tables in order, through content controls and whatever else only wraps them."""
    waiting = [iter(parent)]
    while waiting:
        element = next(waiting[-1], None)
        if element is None:
            waiting.pop()
        elif name_of(element) in ("p", "tbl"):
            yield element
        elif name_of(element) not in _UNSEEN:
            waiting.append(iter(element))


def _text(paragraph: Element) -> str:
    """What is seen of one paragraph, without the text boxes that hang on it."""
    parts: list[str] = []
    waiting = [iter(paragraph)]
    while waiting:
        element = next(waiting[-1], None)
        if element is None:
            waiting.pop()
            continue
        name = name_of(element)
        if name == "t":
            parts.append(element.text or "")
        elif name in _SEEN_AS:
            parts.append(_SEEN_AS[name])
        elif name not in _UNSEEN and not (name == "r" and _is_hidden(element)):
            waiting.append(iter(element))
    return "".join(parts)


def _is_hidden(run: Element) -> bool:
    vanish = child(run, "rPr", "vanish")
    return vanish is not None and attribute(vanish, "val") not in _OFF


def _boxes(paragraph: Element) -> Iterator[Element]:
    """Text boxes of a paragraph; each stands in it twice, once for older readers."""
    for box in descendants(paragraph, "txbxContent"):
        around = list(box.iterancestors())
        inner = around[: around.index(paragraph)]
        if not any(name_of(element) in ("Fallback", "txbxContent") for element in inner):
            yield box


def _rows(table: Element, depth: int = 0) -> Iterator[list[str]]:
    """One text a cell of the grid; a merged cell says its text once and leaves its other places empty."""
    for row in _in_table(table, "tr"):
        cells: list[str] = []
        for cell in _in_table(row, "tc"):
            properties = child(cell, "tcPr")
            merged = child(properties, "vMerge")
            continued = merged is not None and attribute(merged, "val") != "restart"
            cells.append("" if continued else _cell_text(cell, depth))
            span = child(properties, "gridSpan")
            cells.extend([""] * (_span(span) - 1))
        yield cells


def _in_table(parent: Element, name: str) -> Iterator[Element]:
    """Rows of a table or cells of a row, through content controls, but not those of a table further in."""
    waiting = [iter(parent)]
    while waiting:
        element = next(waiting[-1], None)
        if element is None:
            waiting.pop()
        elif name_of(element) == name:
            yield element
        elif name_of(element) in ("sdt", "sdtContent", "ins", "customXml"):
            waiting.append(iter(element))


def _cell_text(cell: Element, depth: int) -> str:
    texts: list[str] = []
    for block in _blocks(cell):
        if name_of(block) == "p":
            texts.append(_text(block))
            texts.extend(_text(inner) for box in _boxes(block) for inner in descendants(box, "p"))
        elif depth < _MAX_TABLE_DEPTH:
            texts.extend(" ".join(row) for row in _rows(block, depth + 1))
    return " ".join(text for text in map(str.strip, texts) if text)


def _span(element: Element | None) -> int:
    text = attribute(element, "val") if element is not None else None
    # Word's own limit is 63 columns.
    return min(int(text), 63) if text is not None and text.isascii() and text.isdigit() and len(text) < 4 else 1
