"""PowerPoint presentations: one page a slide, its title a heading, then its shapes, tables, diagrams and notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter
from advanced_rag.adapters.file_parsers.office_package import OfficePackage
from advanced_rag.adapters.file_parsers.source import Content, Source
from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, child, children, descendants, name_of

_TITLES: Final = ("title", "ctrTitle")
_AT_THE_EDGE: Final = ("dt", "ftr", "sldNum", "hdr")
_BULLETED: Final = ("body", "obj", "")
_WRAPPERS: Final = frozenset({"spTree", "grpSp", "AlternateContent", "Choice"})
_OFF: Final = ("0", "false")
_MAX_LEVEL: Final = 8


def read(source: Source) -> Content:
    """Raises FileRefused, or whatever a damaged file makes lxml raise. Slides that are hidden are left out."""
    package = OfficePackage(source)
    out = MarkdownWriter(source.limits)
    presentation = package.main_part
    order = child(package.xml(presentation), "sldIdLst")
    seen: set[str] = set()
    for number, reference in enumerate(children(order, "sldId"), start=1):
        part = package.target(presentation, _relationship_id(reference))
        slide = package.optional_xml(part)
        if part is not None and slide is not None and attribute(slide, "show") not in _OFF:
            out.page(number)
            _write_slide(package, part, slide, out, seen)
    return Content(
        text=out.text,
        titles=(package.title, out.first_heading),
        pages=out.pages,
        metadata={"author": package.author} if package.author else {},
    )


def _write_slide(package: OfficePackage, part: str, slide: Element, out: MarkdownWriter, seen: set[str]) -> None:
    """`seen`: what other slides said at their edges; footers and dates are worth saying once."""
    shapes = list(_shapes(child(slide, "cSld", "spTree")))
    # The title leads its slide wherever it was drawn.
    for shape in sorted(shapes, key=lambda shape: _placeholder(shape) not in _TITLES):
        if name_of(shape) == "graphicFrame":
            _write_frame(package, part, shape, out)
        else:
            _write_shape(shape, out, seen)
    notes = package.optional_xml(package.related(part, "notesSlide"))
    spoken = [
        text
        for shape in _shapes(child(notes, "cSld", "spTree"))
        if _placeholder(shape) == "body"
        for text in map(_text, descendants(shape, "p"))
        if text.strip()
    ]
    if spoken:
        out.paragraph("Notes: " + "\n".join(spoken))


def _write_shape(shape: Element, out: MarkdownWriter, seen: set[str]) -> None:
    kind = _placeholder(shape)
    body = child(shape, "txBody")
    if body is None:
        return
    if kind in _AT_THE_EDGE:
        text = " ".join(_text(paragraph) for paragraph in children(body, "p") if child(paragraph, "fld") is None)
        if text not in seen:
            seen.add(text)
            out.paragraph(text)
        return
    if kind in _TITLES:
        out.heading(1, " ".join(_text(paragraph) for paragraph in children(body, "p")))
        return
    for paragraph in children(body, "p"):
        properties = child(paragraph, "pPr")
        bulleted = kind in _BULLETED and child(properties, "buNone") is None
        if bulleted:
            out.item(_text(paragraph), depth=_level(properties))
        else:
            out.paragraph(_text(paragraph))


def _write_frame(package: OfficePackage, part: str, frame: Element, out: MarkdownWriter) -> None:
    for table in descendants(frame, "tbl"):
        out.table(
            [" ".join(_text(paragraph) for paragraph in descendants(cell, "p")) for cell in children(row, "tc")]
            for row in children(table, "tr")
        )
    for diagram in descendants(frame, "relIds"):
        data = package.optional_xml(package.target(part, attribute(diagram, "dm")))
        for paragraph in descendants(data, "p"):
            out.item(_text(paragraph))


def _shapes(tree: Element | None) -> Iterator[Element]:
    """Shapes and frames in the order in which they are drawn, those inside of groups too."""
    if tree is None:
        return
    waiting = [iter(tree)]
    while waiting:
        element = next(waiting[-1], None)
        if element is None:
            waiting.pop()
        elif name_of(element) in ("sp", "graphicFrame"):
            if not _is_hidden(element):
                yield element
        elif name_of(element) in _WRAPPERS:
            waiting.append(iter(element))


def _is_hidden(shape: Element) -> bool:
    return any(attribute(known, "hidden") in ("1", "true") for part in shape for known in children(part, "cNvPr"))


def _placeholder(shape: Element) -> str | None:
    """What the shape stands for in its layout; None for one that was drawn freely."""
    holder = next((found for part in shape for found in descendants(part, "ph") if name_of(part) == "nvSpPr"), None)
    return None if holder is None else attribute(holder, "type") or ""


def _text(paragraph: Element) -> str:
    parts: list[str] = []
    for element in paragraph.iterdescendants():
        name = name_of(element)
        if name == "t":
            parts.append(element.text or "")
        elif name == "br":
            parts.append("\n")
        elif name == "tab":
            parts.append("\t")
    return "".join(parts)


def _level(properties: Element | None) -> int:
    level = attribute(properties, "lvl") if properties is not None else None
    return int(level) if level is not None and level.isascii() and level.isdigit() and int(level) <= _MAX_LEVEL else 0


def _relationship_id(reference: Element) -> str | None:
    """`r:id`; the element's own `id`, without a namespace, means something else."""
    return next((str(value) for key, value in reference.items() if key.endswith("}id")), None)
