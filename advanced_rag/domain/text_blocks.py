"""The structure of a text, read line by line as Markdown is: headings, paragraphs, lists, tables and code fences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from advanced_rag.domain.sentences import sentence_spans

_LINE: Final = re.compile(r"[^\n\r\v\f\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x85\u2028\u2029]|\Z)")
_HEADING: Final = re.compile(r"[ ]{0,3}(#{1,6})[ \t]+(\S.*)")
_UNDERLINE: Final = re.compile(r"[ ]{0,3}(?:(={3,})|-{3,})")
_FENCE: Final = re.compile(r"[ ]{0,3}(`{3}|~{3})")
_ITEM: Final = re.compile(r"[ \t]{0,64}(?:[-*+\u2022\u2023\u25aa]|\(?(?:[0-9]{1,3}|[A-Za-z])[.)])[ \t]+\S")
_ROW: Final = re.compile(r"[ ]{0,3}\|")
_MAX_HEADING_CHARS: Final = 200  # a longer line is no heading, whatever it begins with
_MAX_PATH_CHARS: Final = 400
_PATH_SEPARATOR: Final = " > "


class Cut(Enum):
    """What lies before a unit, from where a text is cut most readily to where only force cuts it."""

    SECTION = auto()
    BLOCK = auto()
    ITEM = auto()
    SENTENCE = auto()
    INTRODUCED = auto()  # a list, table or fence below the line that announces it
    ROW = auto()  # of a table, or a line of code
    WORDS = auto()
    HEADED = auto()  # what stands right below a heading


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, table row, line of code or heading: `text[start:end]`, no white space at its ends.

    `path` has the headings above it, outermost first; a heading's own is not in it.
    """

    start: int
    end: int
    before: Cut
    path: tuple[str, ...]


class _Kind(Enum):
    HEADING = auto()
    PARAGRAPH = auto()
    ITEM = auto()
    TABLE = auto()
    CODE = auto()


@dataclass(slots=True)
class _Block:
    kind: _Kind
    start: int
    end: int
    lines: int = 1
    level: int = 0
    title: str = ""

    def extend(self, end: int) -> None:
        self.end = end
        self.lines += 1


def units(text: str) -> Iterator[Unit]:
    """The units of a text in order; together they hold every character that is not white space. Linear."""
    headings: list[tuple[int, str]] = []
    path: tuple[str, ...] = ()
    previous: _Block | None = None
    for block in _blocks(text):
        if block.kind is _Kind.HEADING:
            headings = [heading for heading in headings if heading[0] < block.level]
            path = tuple(title for _, title in headings)
        before = _cut_before(text, previous, block, is_deeper=len(path) > 0)
        inner = Cut.ROW if block.kind in (_Kind.TABLE, _Kind.CODE) else Cut.SENTENCE
        for start, end in _spans(text, block):
            yield Unit(start, end, before, path)
            before = inner
        if block.kind is _Kind.HEADING:
            headings.append((block.level, block.title))
            path = (*path, block.title)
        previous = block


def shown_path(path: tuple[str, ...]) -> str:
    """A heading path in one line, outermost first; the inner end is cut where it grows too long."""
    return _PATH_SEPARATOR.join(path)[:_MAX_PATH_CHARS].rstrip()


def _cut_before(text: str, previous: _Block | None, block: _Block, *, is_deeper: bool) -> Cut:
    if previous is None:
        return Cut.SECTION
    if previous.kind is _Kind.HEADING:
        return Cut.SECTION if block.kind is _Kind.HEADING and not is_deeper else Cut.HEADED
    if block.kind is _Kind.HEADING:
        return Cut.SECTION
    if previous.kind is _Kind.ITEM and block.kind is _Kind.ITEM:
        return Cut.ITEM
    announced = previous.kind is _Kind.PARAGRAPH and text[previous.end - 1] == ":"
    return Cut.INTRODUCED if announced and block.kind is not _Kind.PARAGRAPH else Cut.BLOCK


def _spans(text: str, block: _Block) -> Iterator[tuple[int, int]]:
    piece = text[block.start : block.end]
    if block.kind is _Kind.HEADING:
        yield block.end - len(piece.lstrip()), block.end
    elif block.kind in (_Kind.TABLE, _Kind.CODE):
        for line in _LINE.finditer(piece):
            words = line.group().strip()
            if words:
                start = block.start + line.start() + line.group().index(words[0])
                yield start, start + len(words)
    else:
        for start, end in sentence_spans(piece):
            yield block.start + start, block.start + end


def _blocks(text: str) -> Iterator[_Block]:
    block: _Block | None = None
    fence = ""
    for match in _LINE.finditer(text):
        line = match.group().rstrip()
        start, end = match.start(), match.start() + len(line)
        if fence and block:
            if line:
                block.extend(end)
            if line.lstrip().startswith(fence):
                yield block
                block, fence = None, ""
            continue
        opened = _opened(line, start, end) if line else None
        if block and opened and _joins(block, opened, line):
            block.extend(end)
            continue
        if block:
            yield block
        block = opened
        if opened and opened.kind is _Kind.CODE:
            fence = line.lstrip()[:3]
    if block:
        yield block


def _joins(block: _Block, opened: _Block, line: str) -> bool:
    """Whether a line, which alone would open `opened`, goes on with `block`; an underline makes that a heading."""
    if block.kind is _Kind.TABLE:
        return opened.kind is _Kind.TABLE
    if block.kind in (_Kind.HEADING, _Kind.CODE) or opened.kind is not _Kind.PARAGRAPH:
        return False
    if block.kind is _Kind.PARAGRAPH and block.lines == 1 and block.title and line.lstrip()[0] in "=-":
        underline = _UNDERLINE.fullmatch(line)
        if underline:
            block.kind, block.level = _Kind.HEADING, 1 if underline[1] else 2
    return True


def _opened(line: str, start: int, end: int) -> _Block:
    """The block that this line begins if it begins one; a line of no other kind is a paragraph's."""
    first = line.lstrip()[0]
    is_short = len(line) <= _MAX_HEADING_CHARS
    if first == "#":
        heading = _HEADING.fullmatch(line) if is_short else None
        if heading:
            title = heading[2].rstrip("#").rstrip() or heading[2]
            return _Block(_Kind.HEADING, start, end, level=len(heading[1]), title=title)
    elif first in "`~":
        if _FENCE.match(line):
            return _Block(_Kind.CODE, start, end)
    elif first == "|":
        if _ROW.match(line):
            return _Block(_Kind.TABLE, start, end)
    elif _ITEM.match(line):
        return _Block(_Kind.ITEM, start, end)
    return _Block(_Kind.PARAGRAPH, start, end, title=line.strip() if is_short else "")
