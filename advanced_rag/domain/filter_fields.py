"""Declared filter fields: which names may be declared, and JSON values turned into values of a declared type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from advanced_rag.constants import INT64_MAX, MAX_FILTER_LIST, MAX_FILTER_STRING_BYTES
from advanced_rag.domain.documents import FieldValue, Metadata, Scalar
from advanced_rag.domain.filters import DeclaredFields, FieldType
from advanced_rag.exceptions import FieldError, ValidationError

FIELD_NAME: Final = re.compile(r"(?!.*__)[a-z][a-z0-9_]{0,63}")

# Columns of our own collections: a declared field of that name would collide with one.
RESERVED_NAMES: Final = frozenset(
    (
        *("id", "tenant", "chunk_id", "document_id", "domain", "version", "vector", "terms", "text", "title"),
        *("start", "end", "heading", "metadata", "passage", "stale", "score", "distance"),
    )
)
# Words that Milvus's expression grammar takes for itself in some version (`wire.md` 10).
_ENGINE_WORDS: Final = re.compile(
    r"and|or|not|in|like|is|null|exists|true|false|iso|interval|threshold|minimum_should_match|random_sample"
    r"|element_filter|(?:text_match|phrase_match|match_|json_contains|array_|st_).*"
)
# RFC 3339 section 5.6; the blank for "T" is allowed there too. A date alone is its midnight in UTC.
_RFC_3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,18}))?(?:([Zz])|([+-])([0-9]{2}):([0-9]{2})))?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_SECOND: Final = 59
_LAST_HOUR: Final = 23
_MICROSECOND_DIGITS: Final = 6
_CONTROL: Final = re.compile(r"[\x00-\x1f]")

_ELEMENT_TYPES: Final[Mapping[FieldType, FieldType]] = {
    FieldType.STRINGS: FieldType.STRING,
    FieldType.INTS: FieldType.INT,
}


class UnfitValueError(ValueError):
    """A JSON value that is not of the declared type. `code` is one of `wire.md` 9; the value is not in `message`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check_declared_fields(fields: DeclaredFields) -> None:
    """Raises ValueError naming every declared field that no engine could hold under that name."""
    problems = [
        f"{name!r} {reason}"
        for name in fields
        if (reason := _objection(name)) is not None  # one line a name: an operator fixes all of them at once
    ]
    if problems:
        raise ValueError("declared filter fields: " + "; ".join(problems))


def field_values(metadata: Metadata, declared: DeclaredFields, *, loc: str = "/metadata") -> dict[str, FieldValue]:
    """What a document's metadata says about the declared fields, each of its type.

    A field that is missing or null is left out, everything undeclared is passed over.

    Args:
        metadata: a JSON object.
        declared: the declared fields.
        loc: JSON Pointer of `metadata` in the request.

    Raises:
        ValidationError: names every declared field (`/metadata/year`) whose value is not of its type.
    """
    values: dict[str, FieldValue] = {}
    errors: list[FieldError] = []
    for name, field_type in declared.items():
        if (given := metadata.get(name)) is None:
            continue
        try:
            values[name] = _field_value(given, field_type)
        except UnfitValueError as refusal:
            errors.append(FieldError(f"{loc}/{name}", refusal.code, refusal.message))
    if errors:
        raise ValidationError(errors)
    return values


def readable_field_values(metadata: Metadata, declared: DeclaredFields) -> dict[str, FieldValue]:
    """As `field_values`, for metadata stored under an earlier declaration: what does not fit counts as absent."""
    values: dict[str, FieldValue] = {}
    for name, field_type in declared.items():
        try:
            if (given := metadata.get(name)) is not None:
                values[name] = _field_value(given, field_type)
        except UnfitValueError:
            continue
    return values


def literal(value: object, field_type: FieldType) -> Scalar:
    """A filter's literal for a field of that type (of an array field: for one element).

    Raises:
        UnfitValueError: it is of another type, out of bounds, or a string that no engine takes as a literal.
    """
    scalar = _scalar(value, _ELEMENT_TYPES.get(field_type, field_type))
    if isinstance(scalar, str) and _CONTROL.search(scalar):
        raise UnfitValueError("wrong-type", "must not hold control characters")
    return scalar


def _objection(name: str) -> str | None:
    if FIELD_NAME.fullmatch(name) is None:
        return "must be lower-case letters, digits and single underscores, begin with a letter and have at most 64"
    if name in RESERVED_NAMES:
        return "is a name of our own"
    if _ENGINE_WORDS.fullmatch(name):
        return "is a word of Milvus's expression language"
    return None


def _field_value(value: object, field_type: FieldType) -> FieldValue:
    element_type = _ELEMENT_TYPES.get(field_type)
    if element_type is None:
        return _scalar(value, field_type)
    if not isinstance(value, list | tuple):
        raise UnfitValueError("wrong-type", f"must be a list ({field_type.value})")
    if len(value) > MAX_FILTER_LIST:
        raise UnfitValueError("too-many", f"must have at most {MAX_FILTER_LIST} elements")
    if element_type is FieldType.STRING:
        return tuple(_string(element) for element in value)
    return tuple(_int(element) for element in value)


def _scalar(value: object, field_type: FieldType) -> Scalar:
    return _READERS[field_type](value)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise UnfitValueError("wrong-type", "must be a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UnfitValueError("wrong-type", "must not hold lone surrogates") from None
    if size > MAX_FILTER_STRING_BYTES:
        raise UnfitValueError("too-many", f"must have at most {MAX_FILTER_STRING_BYTES} bytes")
    return value


def _int(value: object) -> int:
    # bool is a subclass of int, so it is asked for first.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitValueError("wrong-type", "must be an integer")
    if isinstance(value, float):
        if not value.is_integer():  # false for NaN and infinity too
            raise UnfitValueError("wrong-type", "must be an integer")
        value = int(value)
    if abs(value) > INT64_MAX:
        raise UnfitValueError("wrong-type", "must be within 64 bits")
    return value


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitValueError("wrong-type", "must be a number")
    if isinstance(value, int):
        return float(_int(value))
    if not math.isfinite(value):
        raise UnfitValueError("wrong-type", "must be a finite number")
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise UnfitValueError("wrong-type", "must be true or false")
    return value


def _datetime(value: object) -> int:
    """Microseconds since the epoch; digits beyond them are cut."""
    refusal = UnfitValueError("wrong-type", "must be an RFC 3339 date-time such as 2026-05-01T12:00:00Z")
    parts = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise refusal
    year, month, day, hour, minute, second = (int(parts[group] or 0) for group in range(1, 7))
    offset_hours, offset_minutes = int(parts[10] or 0), int(parts[11] or 0)
    if offset_hours > _LAST_HOUR or offset_minutes > _LAST_SECOND:
        raise refusal
    leap = second == _LAST_SECOND + 1  # 23:59:60 is the next second, as POSIX time has it
    try:
        moment = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC)
    except ValueError:
        raise refusal from None
    offset = timedelta(hours=offset_hours, minutes=offset_minutes) * (-1 if parts[9] == "-" else 1)
    fraction = int((parts[7] or "")[:_MICROSECOND_DIGITS].ljust(_MICROSECOND_DIGITS, "0"))
    return (moment - _EPOCH + timedelta(seconds=leap) - offset) // _MICROSECOND + fraction


_READERS: Final[Mapping[FieldType, Callable[[object], Scalar]]] = {
    FieldType.STRING: _string,
    FieldType.INT: _int,
    FieldType.FLOAT: _float,
    FieldType.BOOL: _bool,
    FieldType.DATETIME: _datetime,
}
