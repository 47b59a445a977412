"""Opaque cursors: where a page ended. They hold no rights: every statement takes the tenant from elsewhere."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Final

from advanced_rag.adapters.sql.storable import is_storable
from advanced_rag.constants import INT64_MAX
from advanced_rag.exceptions import ValidationError

Position = tuple[str | int, ...]

_MAX_CURSOR_CHARS: Final = 2_048


def encoded_cursor(kind: str, position: Position) -> str:
    """What a caller gives back to go on after `position`."""
    text = json.dumps([kind, *position], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded_cursor(kind: str, cursor: str, types: tuple[type[str] | type[int], ...]) -> Position:
    """The position in a cursor of that kind. Raises ValidationError (`/cursor`) for anything that is not one."""
    try:
        padded = cursor[:_MAX_CURSOR_CHARS] + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        made_by, *position = found
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _not_ours() from None
    if made_by != kind or len(position) != len(types) or not all(map(_is_of, position, types)):
        raise _not_ours()
    return tuple(position)


def _is_of(value: object, kind: type[str] | type[int]) -> bool:
    if type(value) is not kind:  # a bool is an int, and no position
        return False
    return is_storable(value) if isinstance(value, str) else isinstance(value, int) and abs(value) <= INT64_MAX


def _not_ours() -> ValidationError:
    return ValidationError.of("/cursor", "invalid", "is not a cursor of this listing")
