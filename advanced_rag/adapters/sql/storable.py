"""The last guard before a row: Postgres cannot hold NUL in a text, nothing can hold half a surrogate pair.

The HTTP layer refuses both earlier (reliability R8.6); here nothing gets past, whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advanced_rag.constants import MAX_ID_CHARS
from advanced_rag.exceptions import FieldError, ValidationError


def refuse_unstorable(*, identifiers: Mapping[str, str | None], values: Mapping[str, Any] | None = None) -> None:
    """Raises ValidationError naming every field that cannot be stored exactly.

    Args:
        identifiers: JSON pointer -> an id of at most `MAX_ID_CHARS` (an index cannot hold any length); None is no id.
        values: JSON pointer -> a text, or JSON whose texts and keys are looked at too.
    """
    errors = [error for loc, value in identifiers.items() if value for error in _identifier_errors(loc, value)]
    errors += [error for loc, value in (values or {}).items() for error in _value_errors(loc, value)]
    if errors:
        raise ValidationError(errors)


def is_storable(text: str) -> bool:
    """Whether every store can hold that text."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identifier_errors(loc: str, value: str) -> Iterator[FieldError]:
    if len(value) > MAX_ID_CHARS:
        yield FieldError(loc, "too-long", f"may have at most {MAX_ID_CHARS} characters")
    yield from _value_errors(loc, value)


def _value_errors(loc: str, value: Any) -> Iterator[FieldError]:
    if isinstance(value, str):
        if not is_storable(value):
            yield FieldError(loc, "unstorable", "may not contain U+0000 or a lone surrogate")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not is_storable(key):
                yield FieldError(loc, "unstorable", "may not have a key with U+0000 or a lone surrogate")
            else:
                yield from _value_errors(f"{loc}/{key.replace('~', '~0').replace('/', '~1')}", item)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for position, item in enumerate(value):
            yield from _value_errors(f"{loc}/{position}", item)
