"""What reading one file may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """The defaults are reliability R8.10's, where it names one. Beyond any of them the file is refused."""

    wall_s: float = 30.0
    cpu_s: int = 20
    memory_bytes: int = 1_000_000_000
    """Of address space: the interpreter and the libraries are in it."""
    written_file_bytes: int = 64_000_000
    open_files: int = 64
    input_bytes: int = 64_000_000
    text_bytes: int = 8_000_000
    """Of the parsed text in UTF-8."""
    zip_entries: int = 2_000
    unpacked_bytes: int = 200_000_000
    zip_ratio: int = 100
    pages: int = 2_000
    """Pages of a PDF; slides and sheets count the same."""
    columns: int = 16_384
    """Of a table: as many as a spreadsheet can have."""
    nesting: int = 64
    """Of JSON values; messages inside messages count the same."""
