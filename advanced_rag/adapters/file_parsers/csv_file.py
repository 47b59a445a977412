"""Comma-separated values, whatever separates them, to one table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final

from advanced_rag.adapters.file_parsers.markdown import MarkdownWriter
from advanced_rag.adapters.file_parsers.refusals import unreadable
from advanced_rag.adapters.file_parsers.source import Content, Source

_SEPARATORS: Final = (",", ";", "\t", "|")
_SAMPLE_ROWS: Final = 50
_SAMPLE_CHARS: Final = 65_536


def read(source: Source) -> Content:
    """Raises FileRefused for what csv cannot read and for more columns than the limit."""
    text = source.decoded.text.replace("\x00", " ")
    out = MarkdownWriter(source.limits)
    # How much is too much is for the writer to say. The limit is the whole process's: others read with theirs.
    limit_before = csv.field_size_limit(len(text) + 1)
    try:
        out.table(_rows(text, _separator(text[:_SAMPLE_CHARS])))
    except csv.Error as error:
        raise unreadable("The file is damaged: its rows cannot be told apart.") from error
    finally:
        csv.field_size_limit(limit_before)
    return Content(text=out.text, metadata={"charset": source.decoded.charset})


def _separator(sample: str) -> str:
    """The one that gives most rows the same number of columns, more than one; a comma where none does."""

    def agreement(separator: str) -> tuple[int, int]:
        widths = Counter(len(row) for row in islice(_rows(sample, separator), _SAMPLE_ROWS) if len(row) > 1)
        return max(((rows, width) for width, rows in widths.items()), default=(0, 0))

    try:
        return max(_SEPARATORS, key=agreement)
    except csv.Error:
        return _SEPARATORS[0]


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)
