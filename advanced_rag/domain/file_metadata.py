"""The metadata of a document that came as a file: its sender's, and beside it what the file says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from advanced_rag.constants import MAX_METADATA_BYTES, MAX_METADATA_KEYS
from advanced_rag.domain.documents import Metadata
from advanced_rag.domain.pages import PAGES_KEY, page_lengths


def file_metadata(
    given: Metadata,
    own: Metadata,
    *,
    file_name: str,
    media_type: str,
    pages: Sequence[tuple[int, int]],
    text_chars: int,
) -> Mapping[str, Any]:
    """All of `given`, and as much of the rest as the bounds of metadata leave room for.

    What the sender gives is never replaced. Of the rest the name and type come first and the pages last.

    Args:
        given: within the bounds already.
        own: what the parser found in the file.
        file_name: as it is shown.
        media_type: as the parser told it from the content.
        pages: (number, first code point), empty for a file without pages.
        text_chars: of the whole text.
    """
    found: dict[str, Any] = {"file_name": file_name, "media_type": media_type, **own}
    if pages:
        found[PAGES_KEY] = page_lengths(pages, text_chars=text_chars)
    merged = dict(given)
    size = _size(merged)
    for name, value in found.items():
        if name in merged or len(merged) == MAX_METADATA_KEYS:
            continue
        # Braces of its own and no comma: never less than what it adds.
        added = _size({name: value})
        if size + added <= MAX_METADATA_BYTES:
            merged[name] = value
            size += added
    return merged


def _size(metadata: Mapping[str, Any]) -> int:
    return len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
