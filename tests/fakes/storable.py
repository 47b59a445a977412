"""What no database holds, refused by the fakes as by the real stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advanced_rag.exceptions import FieldError, ValidationError

_MAX_ID_CHARS = 128


def refuse_unstorable(identifiers: Mapping[str, str | None], values: Mapping[str, Any] | None = None) -> None:
    """Raises ValidationError naming the fields with NUL, a lone surrogate, or an id that is too long."""
    refused = [loc for loc, value in identifiers.items() if value and (len(value) > _MAX_ID_CHARS or _odd(value))]
    refused += [loc for loc, value in (values or {}).items() if _odd(value)]
    if refused:
        raise ValidationError([FieldError(loc, "unstorable", "cannot be stored") for loc in refused])


def _odd(value: Any) -> bool:
    if isinstance(value, str):
        return any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, Mapping):
        return any(_odd(key) or _odd(item) for key, item in value.items())
    return isinstance(value, Sequence) and any(map(_odd, value))
