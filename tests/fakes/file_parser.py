"""A parser of files that takes them for UTF-8 text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from advanced_rag.exceptions import FileRefused
from advanced_rag.ports.parsing import ParsedFile


@dataclass
class FakeFileParser:
    """Refuses what is empty or no text, or what `refusal_of` refuses; `becomes` makes something else of a text."""

    refusal_of: Callable[[str], Exception | None] = field(default=lambda _name: None)
    becomes: Callable[[str], ParsedFile] = field(default=lambda text: ParsedFile(text, "", "text/plain"))
    seen: list[tuple[Path, str, int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def parse(self, path: Path, *, file_name: str) -> ParsedFile:
        """The file's text, after a turn of the loop."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            data = path.read_bytes()
        finally:
            self.at_once -= 1
        self.seen.append((path, file_name, len(data)))
        if (refusal := self.refusal_of(file_name)) is not None:
            raise refusal
        if not data:
            raise FileRefused("unreadable-file", "The file is empty.")
        try:
            return self.becomes(data.decode())
        except UnicodeDecodeError:
            raise FileRefused("unsupported-media-type", "The file is of a type that is not read here.") from None
