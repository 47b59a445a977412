"""What a docx says elsewhere about its paragraphs: which styles are headings, which lists are numbered."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from advanced_rag.adapters.file_parsers.xml_parts import Element, attribute, child, children

_HEADING: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_TITLE: Final = "title"
_BULLET: Final = "bullet"
_NO_MARKER: Final = "none"
_NO_LIST: Final = "0"
_BODY_TEXT_LEVEL: Final = 9  # w:outlineLvl counts headings from 0 to 8
_MAX_ANCESTORS: Final = 12
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A paragraph's list and its depth in it, from 0."""

    list_id: str
    depth: int


@dataclass(frozen=True, slots=True)
class Style:
    """What a style says itself, and whom to ask for the rest."""

    based_on: str | None
    heading_level: int | None
    list_place: ListPlace | None
    is_title: bool


class Styles:
    """styles.xml, by style id."""

    def __init__(self, root: Element | None) -> None:
        self._styles = {attribute(style, "styleId") or "": _style(style) for style in children(root, "style")}

    def heading_level(self, style_id: str | None) -> int | None:
        """1 is the highest; the title is one too. None for styles that are no headings."""
        return next((s.heading_level for s in self._line(style_id) if s.heading_level is not None), None)

    def is_title(self, style_id: str | None) -> bool:
        """Whether this is the style of the document's title."""
        style = self._styles.get(style_id or "")
        return style is not None and style.is_title

    def list_place(self, style_id: str | None) -> ListPlace | None:
        """The list that a style puts its paragraphs into."""
        return next((s.list_place for s in self._line(style_id) if s.list_place is not None), None)

    def _line(self, style_id: str | None) -> list[Style]:
        """A style and those that it is based on; their number is bounded, for they may form a ring."""
        line: list[Style] = []
        while style_id in self._styles and len(line) < _MAX_ANCESTORS:
            line.append(self._styles[style_id])
            style_id = line[-1].based_on
        return line


class Numbering:
    """numbering.xml, and how far each list has been counted."""

    def __init__(self, root: Element | None) -> None:
        formats = {attribute(a, "abstractNumId"): _formats(a) for a in children(root, "abstractNum")}
        self._formats = {
            attribute(num, "numId") or "": formats.get(_value(num, "abstractNumId"), {})
            for num in children(root, "num")
        }
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (_MAX_DEPTH + 1))

    def next_number(self, place: ListPlace) -> int | None:
        """The number of the list's next item, in plain figures whatever its format; None for a bullet."""
        depth = min(max(place.depth, 0), _MAX_DEPTH)
        if self._formats.get(place.list_id, {}).get(depth, _BULLET) in (_BULLET, _NO_MARKER):
            return None
        counts = self._counts[place.list_id]
        counts[depth] += 1
        counts[depth + 1 :] = [0] * (_MAX_DEPTH - depth)
        return counts[depth]


def list_place(properties: Element | None) -> ListPlace | None:
    """What a paragraph's or a style's properties say about its list; numId 0 takes it out of any."""
    numbering = child(properties, "numPr")
    list_id = _value(numbering, "numId")
    if list_id is None:
        return None
    return ListPlace(list_id, _figure(_value(numbering, "ilvl")) or 0)


def in_a_list(place: ListPlace | None) -> bool:
    """Whether that is a list at all."""
    return place is not None and place.list_id != _NO_LIST


def outline_level(properties: Element | None) -> int | None:
    """A heading level that is said without a style, counted from 1."""
    level = _figure(_value(child(properties), "outlineLvl")) if properties is not None else None
    return level + 1 if level is not None and level < _BODY_TEXT_LEVEL else None


def _style(style: Element) -> Style:
    properties = child(style, "pPr")
    name = (_value(style, "name") or "").strip()
    named = _HEADING.fullmatch(name)
    is_title = name.lower() == _TITLE
    level = outline_level(properties)
    if named:
        level = int(named[1])
    elif is_title:
        level = 1
    return Style(_value(style, "basedOn"), level, list_place(properties), is_title)


def _formats(abstract: Element) -> dict[int, str]:
    return {
        _figure(attribute(level, "ilvl")) or 0: _value(level, "numFmt") or _BULLET
        for level in children(abstract, "lvl")
    }


def _value(element: Element | None, name: str) -> str | None:
    found = child(element, name)
    return attribute(found, "val") if found is not None else None


def _figure(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < _MAX_DEPTH else None
