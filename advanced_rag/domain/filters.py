"""A filter as data: a typed tree that every store renders in its own words, and that Python can evaluate itself.

An absent field equals null and logic is two-valued (`wire.md` 10): a positive condition is false on an absent field and
its negation is the exact complement. There is no `not` node: negation is pushed to the leaves when the tree is built; a
leaf that a negation made true on absent fields carries `or_absent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from advanced_rag.domain.documents import Scalar


class FieldType(StrEnum):
    """Declared type of a filterable metadata field. A datetime is compared as int64 microseconds since the epoch."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    STRINGS = "string[]"
    INTS = "int[]"

    @property
    def is_array(self) -> bool:
        """Whether a document holds a list of values in such a field."""
        return self in (FieldType.STRINGS, FieldType.INTS)


DeclaredFields = Mapping[str, FieldType]
ALWAYS_PRESENT = frozenset({"tenant", "document_id", "domain"})  # strings without a `__set` companion


class Comparator(StrEnum):
    """How a scalar field is compared with one literal."""

    EQ = "=="
    NE = "!="
    GT = ">"
    GTE = ">="
    LT = "<"
    LTE = "<="


@dataclass(frozen=True, slots=True)
class Constant:
    """True or false for every row."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """A scalar field against one literal; on a row without the field the answer is `or_absent`."""

    field: str
    comparator: Comparator
    literal: Scalar
    or_absent: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """A scalar field among (`negated`: not among) some literals; on a row without the field: `or_absent`."""

    field: str
    literals: tuple[Scalar, ...]
    negated: bool = False
    or_absent: bool = False


@dataclass(frozen=True, slots=True)
class Overlaps:
    """An array field shares (`negated`: shares no) element with some literals; an absent array is an empty one."""

    field: str
    literals: tuple[str | int, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is set (`present`) or is not. An empty array is set."""

    field: str
    present: bool = True


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; without parts: true."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Some part holds; without parts: false."""

    parts: tuple[Filter, ...]


Filter = Constant | Compare | Within | Overlaps | Exists | AllOf | AnyOf
