"""Evaluates and simplifies a filter tree in Python: the meaning that every engine's rendering is checked against."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, assert_never

from advanced_rag.domain.documents import FieldValue, Scalar
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

_COMPARISONS: Final[Mapping[Comparator, Callable[[Any, Any], bool]]] = {
    Comparator.EQ: operator.eq,
    Comparator.NE: operator.ne,
    Comparator.GT: operator.gt,
    Comparator.GTE: operator.ge,
    Comparator.LT: operator.lt,
    Comparator.LTE: operator.le,
}


def matches(tree: Filter, values: Mapping[str, FieldValue]) -> bool:
    """Whether a row with these field values passes.

    Args:
        tree: a filter whose literals have their fields' declared types.
        values: what is set on the row, of the declared types; a field that is missing here is absent (null).
            `document_id` and `domain` belong in it when the tree asks for them.
    """
    match tree:
        case Constant(truth):
            return truth
        case Compare(field, comparator, literal, or_absent):
            value = values.get(field)
            return or_absent if value is None else _COMPARISONS[comparator](value, literal)
        case Within(field, literals, negated, or_absent):
            value = values.get(field)
            return or_absent if value is None else (value in literals) != negated
        case Overlaps(field, literals, negated):
            return any(element in literals for element in _elements(values.get(field))) != negated
        case Exists(field, present):
            return (field in ALWAYS_PRESENT or values.get(field) is not None) == present
        case AllOf(parts):
            return all(matches(part, values) for part in parts)
        case AnyOf(parts):
            return any(matches(part, values) for part in parts)
        case _:
            assert_never(tree)


def simplified(tree: Filter) -> Filter:
    """The same filter with constants folded, nested `and`/`or` flattened and single parts unwrapped.

    Whatever is true of every row, or of none, by its form alone comes out as a `Constant`: a constant false searches
    nothing. Repeating it changes nothing.
    """
    match tree:
        case Constant() | Compare():
            return tree
        case Within():
            return _simplified_within(tree)
        case Overlaps(_, literals, negated):
            return tree if literals else Constant(negated)
        case Exists(field, present):
            return Constant(present) if field in ALWAYS_PRESENT else tree
        case AllOf(parts):
            return _folded(parts, AllOf, absorbing=False)
        case AnyOf(parts):
            return _folded(parts, AnyOf, absorbing=True)
        case _:
            assert_never(tree)


def _elements(value: FieldValue | None) -> Sequence[Scalar]:
    if value is None:
        return ()
    # A scalar stands for a list of itself; a string is not a list of its characters.
    return (value,) if isinstance(value, str | int | float) else value


def _simplified_within(tree: Within) -> Filter:
    literals = tuple(dict.fromkeys(tree.literals))
    if len(literals) == 1:
        comparator = Comparator.NE if tree.negated else Comparator.EQ
        return Compare(tree.field, comparator, literals[0], tree.or_absent)
    if literals:
        return Within(tree.field, literals, tree.negated, tree.or_absent)
    # "Not among none" holds for whatever is set; `or_absent` says what holds for the rest.
    if tree.negated == tree.or_absent:
        return Constant(tree.negated)
    return simplified(Exists(tree.field, present=tree.negated))


def _folded(parts: Sequence[Filter], node: type[AllOf | AnyOf], *, absorbing: bool) -> Filter:
    """A conjunction (absorbing false) or disjunction (absorbing true) without what does not change it."""
    kept: list[Filter] = []
    for part in map(simplified, parts):
        if isinstance(part, Constant):
            if part.value is absorbing:
                return part
        elif isinstance(part, AllOf | AnyOf) and isinstance(part, node):
            kept.extend(part.parts)
        else:
            kept.append(part)
    kept = list(dict.fromkeys(kept))
    if not kept:
        return Constant(not absorbing)
    return kept[0] if len(kept) == 1 else node(tuple(kept))
