"""The only JSON parser of request bodies: what the framework's lets through (reliability M15, R8.6) stops here.

Refused with the field's name (422): numbers that are not finite or wider than 64 bits, names that occur twice, nesting
beyond the limit, NUL, lone surrogates, bytes that are not UTF-8. Refused as a whole (400): what is not JSON at all. A
byte order mark is taken off; every other text is let through as it is.

The common case costs one pass of the C parser: its hooks put a mark where they refuse something, escapes that could
hide a bad string are looked for in the raw bytes, and only what is suspicious is walked in Python.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from advanced_rag.api.json_pointers import pointer
from advanced_rag.api.refusals import MalformedJson
from advanced_rag.constants import INT64_MAX, MAX_JSON_DEPTH
from advanced_rag.exceptions import FieldError, ValidationError

MAX_ERRORS: Final = 20
# 32 MB of `{},` would become ten million objects of 64 bytes and more: refused before they are made.
MAX_JSON_VALUES: Final = 1_000_000

_INT64_MIN: Final = -INT64_MAX - 1
_MAX_INT64_CHARS: Final = 20
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SUSPICIOUS_ESCAPE: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands in the tree where a value was refused; `member` is the name within the object that stood there."""

    code: str
    message: str
    member: str | None = None


class _Hooks:
    """What the C parser calls back; remembers whether anything was refused."""

    def __init__(self) -> None:
        self.refused = False

    def refuse(self, code: str, message: str, member: str | None = None) -> _Refused:
        self.refused = True
        return _Refused(code, message, member)

    def constant(self, _: str) -> _Refused:
        return self.refuse("not-finite", "NaN and Infinity are not JSON.")

    def real(self, digits: str) -> float | _Refused:
        value = float(digits)
        return value if math.isfinite(value) else self.refuse("not-finite", "The number is too large.")

    def integer(self, digits: str) -> int | _Refused:
        if len(digits) <= _MAX_INT64_CHARS and _INT64_MIN <= (value := int(digits)) <= INT64_MAX:
            return value
        return self.refuse("number-too-large", "Integers have 64 bits.")

    def members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
        result = dict(pairs)
        if len(result) == len(pairs):
            return result
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return self.refuse("duplicate-key", "The name occurs twice.", twice)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8. Pure CPU, milliseconds a megabyte: a large body belongs in an executor.

    Raises:
        MalformedJson: it is not JSON, with the place.
        ValidationError: it is, and holds something refused; at most 20 fields are named, their values never.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    suspicious = b"\\u" in body and _SUSPICIOUS_ESCAPE.search(body) is not None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        # Bad bytes become lone surrogates, which the walk below finds and names by their field.
        text, suspicious = body.decode(errors="surrogateescape"), True
    _check_count(body)
    hooks = _Hooks()
    value = _decoded(text, hooks)
    if hooks.refused or suspicious or _is_too_deep(value, body):
        errors = [error for error, _ in zip(_refusals(value), range(MAX_ERRORS), strict=False)]
        if errors:
            raise ValidationError(errors)
    return value


def _decoded(text: str, hooks: _Hooks) -> Any:
    decoder = json.JSONDecoder(
        object_pairs_hook=hooks.members,
        parse_float=hooks.real,
        parse_int=hooks.integer,
        parse_constant=hooks.constant,
    )
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"The body is not JSON: see {place}.") from None
    except RecursionError:
        raise ValidationError.of("", "too-deep", f"JSON may nest {MAX_JSON_DEPTH} levels.") from None


def _check_count(body: bytes) -> None:
    if body.count(b",") + body.count(b"{") + body.count(b"[") <= MAX_JSON_VALUES:
        return
    structure = _STRING.sub(b"", body)  # the same count without what stands inside strings
    if structure.count(b",") + structure.count(b"{") + structure.count(b"[") > MAX_JSON_VALUES:
        raise ValidationError.of("", "too-many", f"The body may hold {MAX_JSON_VALUES} values.")


def _is_too_deep(value: Any, body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= MAX_JSON_DEPTH:
        return False
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
    return bool(level)


_Path = tuple["_Path | None", str | int]  # a member's name and its parent's path; written out only for an error


def _refusals(root: Any) -> Iterator[FieldError]:
    """Everything refused in the tree, in the order of the text."""
    pending: list[tuple[Any, _Path | None, int]] = [(root, None, 1)]
    while pending:
        value, path, depth = pending.pop()
        if isinstance(value, _Refused):
            place = path if value.member is None else (path, value.member)
            yield FieldError(_written(place), value.code, value.message)
        elif isinstance(value, str):
            if (error := _bad_string(value)) is not None:
                yield FieldError(_written(path), *error)
        elif isinstance(value, dict | list):
            if depth > MAX_JSON_DEPTH:
                yield FieldError(_written(path), "too-deep", f"JSON may nest {MAX_JSON_DEPTH} levels.")
                continue
            if isinstance(value, dict):
                for name in value:
                    if (error := _bad_string(name)) is not None:
                        yield FieldError(_written(path), error[0], f"A name in it: {error[1]}")
            items = value.items() if isinstance(value, dict) else enumerate(value)
            pending.extend(reversed([(child, (path, name), depth + 1) for name, child in items]))


def _bad_string(text: str) -> tuple[str, str] | None:
    if "\0" in text:
        return "nul-character", "NUL is not allowed."
    try:
        text.encode()
    except UnicodeEncodeError:
        return "invalid-unicode", "It is not Unicode text: lone surrogates or bytes that are not UTF-8."
    return None


def _written(path: _Path | None) -> str:
    tokens: list[str | int] = []
    while path is not None:
        path, token = path
        tokens.append(token if isinstance(token, int) or _bad_string(token) is None else "?")
    return pointer(reversed(tokens))
