"""JSON Pointers (RFC 6901): how an error names a field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MAX_TOKEN_CHARS: Final = 128


def pointer(tokens: Iterable[str | int]) -> str:
    """The pointer to a member; a long name is cut: it is the caller's text, and names fields, not novels."""
    return "".join(f"/{_escaped(str(token))}" for token in tokens)


def _escaped(token: str) -> str:
    if len(token) > _MAX_TOKEN_CHARS:
        token = token[:_MAX_TOKEN_CHARS] + "…"
    return token.replace("~", "~0").replace("/", "~1")
