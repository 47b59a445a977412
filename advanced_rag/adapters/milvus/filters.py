"""A filter tree in Milvus's expression language (`wire.md` 10).

A filter may cost more, it never lets less through: what the engine cannot say is rendered as true and marked, and the
caller checks the tree again on the documents' metadata.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from advanced_rag.adapters.milvus.dialect import Dialect
from advanced_rag.constants import INT64_MAX
from advanced_rag.domain.documents import Scalar, Tenant
from advanced_rag.domain.filter_matching import simplified
from advanced_rag.domain.filters import (
    ALWAYS_PRESENT,
    AllOf,
    AnyOf,
    Comparator,
    Compare,
    Constant,
    Exists,
    Filter,
    Overlaps,
    Within,
)

ID_FIELD: Final = "id"
SET_SUFFIX: Final = "__set"

_WITHOUT_COMPANION: Final = ALWAYS_PRESENT | {ID_FIELD}
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_UNWRITABLE: Final = re.compile(r"[\x00-\x1f\ud800-\udfff]")  # no dialect has an escape that all engines read alike
_LAST_OF_BMP: Final = "\uffff"

ParameterValue = Scalar | list[Scalar]


@dataclass(frozen=True, slots=True)
class Rendered:
    """An expression with its template values; `exact` is false where a part of the filter had to be taken as true."""

    expression: str
    params: Mapping[str, ParameterValue]
    exact: bool = True


def matches_nothing(where: Filter | None) -> bool:
    """Whether the filter is false by its form alone, so that there is nothing to search."""
    return where is not None and simplified(where) == Constant(value=False)


def render(where: Filter | None, dialect: Dialect, *, tenant: Tenant | None = None) -> Rendered:
    """The filter as an expression, the tenant's own condition first.

    Raises:
        ValueError: a field that is no plain identifier, or a literal that no expression can hold (control characters,
            NaN, an integer beyond 64 bits). Filters are checked when they are parsed: this is a bug of ours.
    """
    tree: Filter = Constant(value=True) if where is None else simplified(where)
    said = simplified(_sayable(tree, dialect))
    writer = _Writer(dialect)
    conditions = []
    if tenant is not None:
        conditions.append(writer.text(Compare("tenant", Comparator.EQ, tenant)))
    if said != Constant(value=True) or not conditions:
        conditions.append(writer.text(said))
    return Rendered(" and ".join(conditions), writer.params, exact=said == tree)


def render_ids(ids: Iterable[str], dialect: Dialect, *, tenant: Tenant | None = None) -> Rendered:
    """Rows by primary key, of one tenant or of all. `ids` is not empty."""
    return render(Within(ID_FIELD, tuple(ids)), dialect, tenant=tenant)


def render_ids_after(after: str, dialect: Dialect) -> Rendered:
    """Rows whose primary key is greater."""
    return render(Compare(ID_FIELD, Comparator.GT, after), dialect)


def _sayable(tree: Filter, dialect: Dialect) -> Filter:
    """The tree with every leaf that this engine cannot say replaced by true."""
    match tree:
        case AllOf(parts):
            return AllOf(tuple(_sayable(part, dialect) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_sayable(part, dialect) for part in parts))
        case Overlaps(negated=True) if not dialect.negated_array_contains:
            return Constant(value=True)
        case Compare(literal=literal) if not _writable((literal,), dialect):
            return Constant(value=True)
        case Within(literals=literals) | Overlaps(literals=literals) if not _writable(literals, dialect):
            return Constant(value=True)
        case _:
            return tree


def _writable(literals: Sequence[Scalar], dialect: Dialect) -> bool:
    if dialect.beyond_bmp_literals:
        return True
    return not any(isinstance(literal, str) and max(literal, default="") > _LAST_OF_BMP for literal in literals)


@dataclass(slots=True)
class _Writer:
    """Writes one expression; template values gather in `params` under p0, p1, … in order of appearance."""

    dialect: Dialect
    params: dict[str, ParameterValue] = field(default_factory=dict)

    def text(self, tree: Filter) -> str:
        match tree:
            case Constant(truth):
                # No engine has a bare constant; every row has an id.
                return f'{ID_FIELD} {"!=" if truth else "=="} ""'
            case Compare(name, comparator, literal, or_absent):
                return _guarded(name, f"{_checked(name)} {comparator} {self._literal(literal)}", or_absent=or_absent)
            case Within(name, literals, negated, or_absent):
                word = "not in" if negated else "in"
                return _guarded(name, f"{_checked(name)} {word} {self._list(literals)}", or_absent=or_absent)
            case Overlaps(name, literals, negated):
                word = "not array_contains_any" if negated else "array_contains_any"
                return f"{word}({_checked(name)}, {self._list(literals)})"
            case Exists(name, present):
                return f"{_checked(name)}{SET_SUFFIX} == {_bool(present)}"
            case AllOf(parts):
                return self._pairs(parts, "and")
            case AnyOf(parts):
                return self._pairs(parts, "or")
            case _:
                assert_never(tree)

    def _pairs(self, parts: Sequence[Filter], word: str) -> str:
        """A balanced tree of pairs: a flat chain nests as deep as it is long, and engines limit the depth."""
        if len(parts) == 1:
            return self.text(parts[0])
        half = len(parts) // 2
        return f"({self._pairs(parts[:half], word)} {word} {self._pairs(parts[half:], word)})"

    def _literal(self, value: Scalar) -> str:
        if isinstance(value, bool):  # before int, which it is too
            return _bool(value)
        text = _written(value)
        return self._param(value) if self.dialect.templates else text

    def _list(self, values: Sequence[Scalar]) -> str:
        # One type a list: engines refuse [1, 2.5].
        mixed = any(isinstance(value, float) for value in values)
        uniform: list[Scalar] = [float(value) if mixed else value for value in values]
        texts = [_bool(value) if isinstance(value, bool) else _written(value) for value in uniform]
        return self._param(uniform) if self.dialect.templates else f"[{', '.join(texts)}]"

    def _param(self, value: ParameterValue) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return "{" + name + "}"


def _guarded(name: str, condition: str, *, or_absent: bool) -> str:
    if name in _WITHOUT_COMPANION:
        return condition
    present, word = ("false", "or") if or_absent else ("true", "and")
    return f"({name}{SET_SUFFIX} == {present} {word} {condition})"


def _checked(name: str) -> str:
    if _IDENTIFIER.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no field name")
    return name


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _written(value: str | float) -> str:
    """A literal in the text of an expression; what stands here is right for every engine's grammar."""
    if isinstance(value, str):
        if _UNWRITABLE.search(value):
            raise ValueError("a literal with control characters or lone surrogates cannot be written")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a literal must be finite")
    if isinstance(value, int) and abs(value) > INT64_MAX:
        raise ValueError("an integer literal must fit 64 bits")
    return repr(value)
