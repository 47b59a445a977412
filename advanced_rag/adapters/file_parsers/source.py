"""What a format's reader is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from advanced_rag.adapters.file_parsers.charsets import DecodedText, decoded
from advanced_rag.adapters.file_parsers.limits import ParseLimits
from advanced_rag.ports.parsing import PageStart


@dataclass(frozen=True)
class Source:
    """One file in memory. `file_name` is whatever the sender called it: shown, asked for its ending, never opened."""

    data: bytes
    file_name: str
    limits: ParseLimits

    @property
    def suffix(self) -> str:
        """The name's ending in lower case with its dot, or nothing."""
        return PurePosixPath(self.file_name.replace("\\", "/")).suffix.lower()

    @property
    def stem(self) -> str:
        """The name without folders and ending."""
        return PurePosixPath(self.file_name.replace("\\", "/")).stem

    @cached_property
    def decoded(self) -> DecodedText:
        """The bytes as text, in the charset that they declare or most likely have."""
        return decoded(self.data)


@dataclass(frozen=True, slots=True)
class Content:
    """What a reader found; `titles` are what may be its title, the likeliest first, some of them empty."""

    text: str
    titles: tuple[str, ...] = ()
    pages: tuple[PageStart, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
