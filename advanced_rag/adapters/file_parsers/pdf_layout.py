"""Lines of a PDF's pages, with where and how large they stand, to headings, paragraphs and lists.

A PDF has no such things, only glyphs in places. What is larger than the body is a heading; what is further apart than
lines usually are is a new paragraph; a line that ends well before the margin ends on purpose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter

_HEADING_RATIO: Final = 1.15
_BOLD_HEADING_RATIO: Final = 1.05
_MIN_HEADING_LETTERS: Final = 2
_MAX_HEADING_CHARS: Final = 200
_MAX_HEADING_LEVEL: Final = 4
_PARAGRAPH_RATIO: Final = 1.35
_FULL_LINE: Final = 0.85
_SIZE_STEPS: Final = 4  # sizes are told apart by quarters of a point
_BULLET: Final = re.compile(
    r"(?:[\u2022\u25cf\u25e6\u25aa\u25ab\u25a0\u2023\u2043\u00b7\uf0b7\uf0a7o*\u2013-])\s+(?=\S)"
)
_ORDERED: Final = re.compile(r"(\d{1,3})[.)]\s+(?=\S)")
# What PDFium gives for a hyphen that only breaks a word at a line's end.
_SOFT_HYPHENS: Final = ("\x02", "\ufffe", "\u00ad")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text; places in points from the page's lower left corner.

    `end_baseline` is lower than `baseline` where PDFium has joined a hyphenated word, and with it two lines.
    """

    text: str
    left: float
    right: float
    baseline: float
    end_baseline: float
    size: float
    is_bold: bool = False


class Headings:
    """Which lines are headings in this document: those clearly above the size that most of its text has."""

    def __init__(self, pages: Iterable[Sequence[Line]]) -> None:
        lines = [line for page in pages for line in page]
        chars: Counter[float] = Counter()
        for line in lines:
            chars[_steps(line.size)] += len(line.text)
        self._body = chars.most_common(1)[0][0] if chars else 0
        sizes = {_steps(line.size) for line in lines if self._stands_out(line)}
        self._levels = {
            size: min(level, _MAX_HEADING_LEVEL) for level, size in enumerate(sorted(sizes, reverse=True), start=1)
        }

    def level(self, line: Line) -> int | None:
        """1 is the largest size of the document; None for body text."""
        return self._levels.get(_steps(line.size)) if self._stands_out(line) else None

    def _stands_out(self, line: Line) -> bool:
        if len(line.text) > _MAX_HEADING_CHARS or sum(map(str.isalpha, line.text)) < _MIN_HEADING_LETTERS:
            return False
        ratio = _BOLD_HEADING_RATIO if line.is_bold else _HEADING_RATIO
        return _steps(line.size) > self._body * ratio


def _steps(size: float) -> int:
    return round(size * _SIZE_STEPS)


def write_page(lines: Sequence[Line], headings: Headings, out: MarkdownWriter) -> None:
    """One page's lines, in the order in which the page draws them."""
    pitch = _pitch(lines)
    block: list[Line] = []
    for line in lines:
        if block and _begins_new(block, line, pitch, headings):
            _write_block(block, headings, out)
            block = []
        block.append(line)
    if block:
        _write_block(block, headings, out)


def _pitch(lines: Sequence[Line]) -> float:
    """From one line to the next, usually."""
    steps = [step for upper, lower in pairwise(lines) if (step := upper.end_baseline - lower.baseline) > 1]
    return median(steps) if steps else 0.0


def _begins_new(block: Sequence[Line], line: Line, pitch: float, headings: Headings) -> bool:
    last = block[-1]
    if headings.level(last) != headings.level(line) or _BULLET.match(line.text) or _ORDERED.match(line.text):
        return True
    step = last.end_baseline - line.baseline
    return step < -line.size or step > max(pitch, line.size) * _PARAGRAPH_RATIO


def _write_block(block: Sequence[Line], headings: Headings, out: MarkdownWriter) -> None:
    level = headings.level(block[0])
    text = _joined(block)
    if level is not None:
        out.heading(level, text)
    elif found := _BULLET.match(text):
        out.item(text[found.end() :])
    elif found := _ORDERED.match(text):
        out.item(text[found.end() :], number=int(found[1]))
    else:
        out.paragraph(text)


def _joined(block: Sequence[Line]) -> str:
    """Wrapped lines become one; a line that stops short of the block's margin keeps its end."""
    margin = max(line.right for line in block)
    parts: list[str] = []
    for line, following in zip(block, [*block[1:], None], strict=True):
        text = line.text.rstrip()
        if text.endswith(_SOFT_HYPHENS):
            parts.append(text[:-1])
            continue
        parts.append(text)
        if following is not None:
            width = margin - min(line.left, following.left)
            full = width <= 0 or line.right - min(line.left, following.left) >= width * _FULL_LINE
            parts.append(" " if full else "\n")
    joined = "".join(parts)
    for hyphen in _SOFT_HYPHENS:
        joined = joined.replace(hyphen, "")
    return joined
