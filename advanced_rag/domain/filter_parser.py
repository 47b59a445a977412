"""JSON filters, as callers write them, into the typed tree (`wire.md` 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from advanced_rag.constants import MAX_FILTER_DEPTH, MAX_FILTER_LIST, MAX_FILTER_NODES
from advanced_rag.domain.documents import Scalar
from advanced_rag.domain.filter_fields import FIELD_NAME, RESERVED_NAMES, UnfitValueError, literal
from advanced_rag.domain.filter_matching import simplified
from advanced_rag.domain.filters import (
    ALWAYS_PRESENT,
    AllOf,
    AnyOf,
    Comparator,
    Compare,
    Constant,
    DeclaredFields,
    Exists,
    FieldType,
    Filter,
    Overlaps,
    Within,
)
from advanced_rag.exceptions import FieldError, ValidationError

_MAX_ERRORS: Final = 20  # what a problem document names (`wire.md` 9)
_ORDERED: Final[Mapping[str, Comparator]] = {
    "$gt": Comparator.GT,
    "$gte": Comparator.GTE,
    "$lt": Comparator.LT,
    "$lte": Comparator.LTE,
}
_COMPLEMENTS: Final[Mapping[Comparator, Comparator]] = {
    Comparator.GT: Comparator.LTE,
    Comparator.GTE: Comparator.LT,
    Comparator.LT: Comparator.GTE,
    Comparator.LTE: Comparator.GT,
}
_LOGIC_OPERATORS: Final = ("$and", "$or", "$not")
_CONDITION_OPERATORS: Final = ("$eq", "$ne", *_ORDERED, "$in", "$nin", "$exists", "$not")
_UNORDERED: Final = frozenset({FieldType.BOOL, FieldType.STRINGS, FieldType.INTS})


def parse_filter(data: object, declared: DeclaredFields, *, loc: str = "/filters") -> Filter:
    """The simplified tree of a JSON filter; `{}` is true.

    A negation is pushed to the leaves as it is read, so the tree has exact complements and no `not`. Depth counts
    nested `$and`, `$or` and `$not`; an operator object counts as one condition for each of its members.

    Args:
        data: parsed JSON.
        declared: fields that may be asked for, beside `document_id` and `domain`.
        loc: JSON Pointer of `data` in the request.

    Raises:
        ValidationError: names each refused place, 20 at most, with the codes of `wire.md` 9; values are never repeated.
    """
    reading = _Reading(declared)
    tree = reading.filter(data, loc, depth=0, negated=False)
    if reading.errors:
        raise ValidationError(reading.errors)
    return simplified(tree)


@dataclass(slots=True)
class _Reading:
    """One pass over a filter. What is refused stands in the tree as a constant, so that the rest is read too."""

    declared: DeclaredFields
    errors: list[FieldError] = field(default_factory=list)
    conditions: int = 0

    def filter(self, data: object, loc: str, *, depth: int, negated: bool) -> Filter:
        if depth > MAX_FILTER_DEPTH:
            self.give_up(loc, "too-deep", f"filters nest at most {MAX_FILTER_DEPTH} levels")
        if not isinstance(data, dict):
            return self.refuse(loc, "wrong-type", "must be an object")
        if not data:
            self.count(loc)
        parts: list[Filter] = []
        for name, value in data.items():
            if name in ("$and", "$or"):
                parts.append(self.logic(name, value, f"{loc}/{name}", depth=depth, negated=negated))
            elif name == "$not":
                parts.append(self.filter(value, f"{loc}/$not", depth=depth + 1, negated=not negated))
            elif isinstance(name, str) and name.startswith("$"):
                parts.append(self.unknown_operator(loc, name, _LOGIC_OPERATORS))
            else:
                parts.append(self.field(name, value, loc, depth=depth, negated=negated))
        return _joined(parts, conjunction=True, negated=negated)

    def logic(self, name: str, operands: object, loc: str, *, depth: int, negated: bool) -> Filter:
        if not isinstance(operands, list) or not operands:
            return self.refuse(loc, "wrong-type", "must be a list of at least one filter")
        if len(operands) > MAX_FILTER_NODES:
            self.give_up(loc, "too-many", f"a filter has at most {MAX_FILTER_NODES} conditions")
        parts = [
            self.filter(operand, f"{loc}/{index}", depth=depth + 1, negated=negated)
            for index, operand in enumerate(operands)
        ]
        return _joined(parts, conjunction=name == "$and", negated=negated)

    def field(self, name: object, condition: object, loc: str, *, depth: int, negated: bool) -> Filter:
        if not isinstance(name, str) or FIELD_NAME.fullmatch(name) is None:
            return self.refuse(loc, "unknown-field", f"holds a field that is not declared; {self.known_fields()}")
        loc = f"{loc}/{name}"
        field_type = FieldType.STRING if name in ALWAYS_PRESENT else self.declared.get(name)
        if name == "tenant" or (field_type is None and name in RESERVED_NAMES):
            return self.refuse(loc, "reserved", f"cannot be filtered by; {self.known_fields()}")
        if field_type is None:
            return self.refuse(loc, "unknown-field", f"is not a declared field; {self.known_fields()}")
        return self.condition(name, field_type, condition, loc, depth=depth, negated=negated)

    def condition(
        self, name: str, field_type: FieldType, condition: object, loc: str, *, depth: int, negated: bool
    ) -> Filter:
        if depth > MAX_FILTER_DEPTH:
            self.give_up(loc, "too-deep", f"filters nest at most {MAX_FILTER_DEPTH} levels")
        if not isinstance(condition, dict):
            return self.membership(name, field_type, [condition], (loc,), negated=negated)
        if not condition:
            return self.refuse(loc, "wrong-type", "must hold at least one operator")
        parts: list[Filter] = []
        for operator, operand in condition.items():
            where = f"{loc}/{operator}"
            match operator:
                case "$eq" | "$ne":
                    flipped = negated != (operator == "$ne")
                    parts.append(self.membership(name, field_type, [operand], (where,), negated=flipped))
                case "$in" | "$nin":
                    parts.append(
                        self.listing(name, field_type, operand, where, negated=negated != (operator == "$nin"))
                    )
                case "$gt" | "$gte" | "$lt" | "$lte":
                    parts.append(self.ordering(name, field_type, _ORDERED[operator], operand, where, negated=negated))
                case "$exists":
                    parts.append(self.existence(name, operand, where, negated=negated))
                case "$not":
                    inner = self.condition(name, field_type, operand, where, depth=depth + 1, negated=not negated)
                    parts.append(inner)
                case _:
                    parts.append(self.unknown_operator(loc, operator, _CONDITION_OPERATORS))
        return _joined(parts, conjunction=True, negated=negated)

    def listing(self, name: str, field_type: FieldType, operand: object, loc: str, *, negated: bool) -> Filter:
        if not isinstance(operand, list):
            return self.refuse(loc, "wrong-type", "must be a list")
        if len(operand) > MAX_FILTER_LIST:
            return self.refuse(loc, "too-many", f"must have at most {MAX_FILTER_LIST} elements")
        locs = tuple(f"{loc}/{index}" for index in range(len(operand)))
        return self.membership(name, field_type, operand, locs, negated=negated)

    def membership(
        self, name: str, field_type: FieldType, operands: list[object], locs: tuple[str, ...], *, negated: bool
    ) -> Filter:
        """Equal to one of some literals; null among them stands for an absent field."""
        self.count(locs[0] if locs else "")
        literals = [
            read
            for operand, loc in zip(operands, locs, strict=True)
            if operand is not None and (read := self.literal(operand, field_type, loc)) is not None
        ]
        or_absent = (None in operands) != negated
        if not field_type.is_array:
            return Within(name, tuple(literals), negated, or_absent and name not in ALWAYS_PRESENT)
        elements = tuple(each for each in literals if isinstance(each, str | int))
        overlap = Overlaps(name, elements, negated)
        if None not in operands:
            return overlap
        return _joined([overlap, Exists(name, present=negated)], conjunction=False, negated=negated)

    def ordering(
        self, name: str, field_type: FieldType, comparator: Comparator, operand: object, loc: str, *, negated: bool
    ) -> Filter:
        self.count(loc)
        if field_type in _UNORDERED:
            return self.refuse(loc, "wrong-type", f"{field_type.value} has no order")
        bound = self.literal(operand, field_type, loc)
        if bound is None:
            return Constant(value=False)
        chosen = _COMPLEMENTS[comparator] if negated else comparator
        return Compare(name, chosen, bound, or_absent=negated and name not in ALWAYS_PRESENT)

    def existence(self, name: str, operand: object, loc: str, *, negated: bool) -> Filter:
        self.count(loc)
        if not isinstance(operand, bool):
            return self.refuse(loc, "wrong-type", "must be true or false")
        return Exists(name, present=operand != negated)

    def literal(self, operand: object, field_type: FieldType, loc: str) -> Scalar | None:
        try:
            return literal(operand, field_type)
        except UnfitValueError as refusal:
            self.refuse(loc, refusal.code, refusal.message)
            return None

    def unknown_operator(self, loc: str, operator: object, known: tuple[str, ...]) -> Filter:
        # Only what looks like an operator is repeated: the rest is a caller's text, of any length.
        name = operator.removeprefix("$") if isinstance(operator, str) else ""
        where = f"{loc}/{operator}" if FIELD_NAME.fullmatch(name) else loc
        return self.refuse(where, "unknown-operator", f"known operators here: {', '.join(known)}")

    def known_fields(self) -> str:
        return "declared: " + ", ".join(sorted({*self.declared, "document_id", "domain"}))

    def count(self, loc: str) -> None:
        self.conditions += 1
        if self.conditions > MAX_FILTER_NODES:
            self.give_up(loc, "too-many", f"a filter has at most {MAX_FILTER_NODES} conditions")

    def refuse(self, loc: str, code: str, message: str) -> Filter:
        self.errors.append(FieldError(loc, code, message))
        if len(self.errors) >= _MAX_ERRORS:
            raise ValidationError(self.errors)
        return Constant(value=False)

    def give_up(self, loc: str, code: str, message: str) -> NoReturn:
        raise ValidationError([*self.errors, FieldError(loc, code, message)])


def _joined(parts: list[Filter], *, conjunction: bool, negated: bool) -> Filter:
    """De Morgan: the parts are negated already."""
    return AllOf(tuple(parts)) if conjunction != negated else AnyOf(tuple(parts))
