"""Writes the one form in which every format's content leaves: headings, paragraphs, lists, `|` tables, pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.adapters.file_parsers.refusals import too_large
from advanced_rag.ports.parsing import PageStart

_MAX_HEADING_LEVEL: Final = 6
_MAX_INDENT: Final = 12
_SPACES: Final = re.compile(r"\s+")
_BLANKS: Final = re.compile(r"[^\S\n]+")
_BLANK_LINES: Final = re.compile(r" ?\n(?: ?\n)+ ?")
# Neither can be stored (R8.6); one for one, so that no offset moves.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_FENCE: Final = "```"


def storable(text: str) -> str:
    """The same text at the same offsets, with a blank for each NUL and U+FFFD for each lone surrogate."""
    return _UNSTORABLE.sub(lambda found: " " if found[0] == "\x00" else "\ufffd", text)


def one_line(text: str) -> str:
    """All white space collapsed."""
    return _SPACES.sub(" ", text).strip()


def tidy(text: str) -> str:
    """Blanks collapsed, lines kept, empty lines not."""
    return _BLANK_LINES.sub("\n", _BLANKS.sub(" ", text)).replace("\n ", "\n").replace(" \n", "\n").strip(" \n")


class MarkdownWriter:
    """Blocks in reading order, one empty line between them. Raises FileRefused when it becomes too much."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._parts: list[str] = []
        self._chars = 0
        self._bytes = 0
        self._pages: list[PageStart] = []
        self._last_was_item = False
        self.first_heading = ""

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    @property
    def pages(self) -> tuple[PageStart, ...]:
        """Where each page begins; the last may be empty."""
        return tuple(self._pages)

    @property
    def bytes_written(self) -> int:
        """Length of `text` in UTF-8."""
        return self._bytes

    def page(self, number: int) -> None:
        """What follows is on page `number`."""
        if len(self._pages) >= self._limits.pages:
            raise too_large(f"The file has more than {self._limits.pages:,} pages.")
        # The empty line before the page's first block belongs to the page before.
        if self._parts and not self._parts[-1].endswith("\n\n"):
            self._append("\n\n")
        self._last_was_item = False
        self._pages.append(PageStart(number, self._chars))

    def heading(self, level: int, text: str) -> None:
        """One line, however many it had."""
        line = one_line(text)
        if line:
            self.first_heading = self.first_heading or line
            self._block(f"{'#' * min(max(level, 1), _MAX_HEADING_LEVEL)} {line}")

    def paragraph(self, text: str) -> None:
        """Its own line ends are kept."""
        paragraph = tidy(text)
        if paragraph:
            self._block(paragraph)

    def item(self, text: str, *, depth: int = 0, number: int | None = None) -> None:
        """An item of a list; `depth` 0 is the outermost, `number` makes it an ordered one."""
        lines = tidy(text)
        if not lines:
            return
        indent = "  " * min(max(depth, 0), _MAX_INDENT)
        marker = "-" if number is None else f"{number}."
        self._block(f"{indent}{marker} " + lines.replace("\n", f"\n{indent}  "), is_item=True)

    def code(self, text: str) -> None:
        """As it is, between fences that do not occur in it."""
        lines = text.strip("\n").rstrip()
        if not lines:
            return
        fence = _FENCE
        while fence in lines:
            fence += "`"
        self._block(f"{fence}\n{lines}\n{fence}")

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """The first row is the head. Empty rows, and empty cells at the end of a row, are left out."""
        head = True
        for row in rows:
            cells = [one_line(cell).replace("|", "\\|") for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if len(cells) > self._limits.columns:
                raise too_large(f"The file has a table of more than {self._limits.columns:,} columns.")
            if not cells:
                continue
            line = f"| {' | '.join(cells)} |"
            if head:
                self._block(f"{line}\n|{' --- |' * len(cells)}")
                head = False
            else:
                self._append(f"\n{line}")

    def _block(self, text: str, *, is_item: bool = False) -> None:
        if self._parts and not self._parts[-1].endswith("\n\n"):
            self._append("\n" if is_item and self._last_was_item else "\n\n")
        self._append(text)
        self._last_was_item = is_item

    def _append(self, text: str) -> None:
        clean = storable(text)
        self._chars += len(clean)
        self._bytes += len(clean.encode())
        if self._bytes > self._limits.text_bytes:
            raise too_large(f"The file holds more than {self._limits.text_bytes:,} bytes of text.")
        self._parts.append(clean)
