"""Port to file parsers: bytes of a known format to text with its structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PageStart:
    """Page (or slide, or sheet) `number`, counted from 1, begins at `start`, in code points of the parsed text."""

    number: int
    start: int


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file says. `text` is Markdown-like: `#` headings, lists, `|` tables; never markup of the source format."""

    text: str
    title: str
    media_type: str
    pages: tuple[PageStart, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class FileParser(Protocol):
    """Raises FileRefused for what cannot be read, LoadShed when too many files are being parsed; nothing else."""

    async def parse(self, path: Path, *, file_name: str) -> ParsedFile:
        """Read the file at `path`. Its type is told by its content; `file_name` is shown and only breaks ties."""
        ...
