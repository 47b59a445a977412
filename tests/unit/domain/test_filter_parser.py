"""The parser against an evaluator of the JSON itself, written without looking at the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.constants import INT64_MAX
from advanced_rag.domain.filter_fields import field_values
from advanced_rag.domain.filter_matching import matches
from advanced_rag.domain.filter_parser import parse_filter
from advanced_rag.domain.filters import (
    AllOf,
    AnyOf,
    Comparator,
    Compare,
    Constant,
    Exists,
    FieldType,
    Filter,
    Overlaps,
    Within,
)
from advanced_rag.exceptions import FieldError, ValidationError

DECLARED = {
    "source": FieldType.STRING,
    "year": FieldType.INT,
    "weight": FieldType.FLOAT,
    "draft": FieldType.BOOL,
    "created_at": FieldType.DATETIME,
    "tags": FieldType.STRINGS,
    "pages": FieldType.INTS,
}
STRINGS = ["", "a", "b", "é", '"', "\\", "東京", "🙂"]
DATES = ["2020-01-01T00:00:00Z", "2020-01-01T01:00:00+01:00", "2021-06-30T23:59:59.5Z", "1969-12-31"]
SCALARS: Mapping[str, st.SearchStrategy[Any]] = {
    "source": st.sampled_from(STRINGS),
    "domain": st.sampled_from(["", "a", "legal"]),
    "year": st.integers(-2, 3) | st.just(2.0),
    "weight": st.integers(-1, 1) | st.sampled_from([0.5, -0.0, 1.0]),
    "draft": st.booleans(),
    "created_at": st.sampled_from(DATES),
    "tags": st.sampled_from(STRINGS[:3]),
    "pages": st.integers(0, 3),
}
SECONDS = dict(zip(DATES, [1_577_836_800.0, 1_577_836_800.0, 1_625_097_599.5, -86_400.0], strict=True))


def _operators(name: str) -> st.SearchStrategy[Any]:
    scalar = SCALARS[name]
    nullable = scalar | st.none()
    listing = st.lists(nullable, max_size=3)
    members: dict[str, st.SearchStrategy[Any]] = {
        "$eq": nullable,
        "$ne": nullable,
        "$in": listing,
        "$nin": listing,
        "$exists": st.booleans(),
    }
    if name not in ("draft", "tags", "pages"):
        members |= {"$gt": scalar, "$gte": scalar, "$lt": scalar, "$lte": scalar}
    plain = st.fixed_dictionaries({}, optional=members).filter(bool)
    negated = st.fixed_dictionaries({"$not": nullable | plain})
    return nullable | plain | negated


_leaves = st.sampled_from(sorted(SCALARS)).flatmap(lambda name: st.fixed_dictionaries({name: _operators(name)}))
json_filters = st.recursive(
    st.just({}) | _leaves | st.fixed_dictionaries({}, optional={name: _operators(name) for name in SCALARS}),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
        st.tuples(inner, _leaves).map(lambda both: {**both[0], **both[1]}),
    ),
    max_leaves=5,
)
metadata = st.fixed_dictionaries(
    {"domain": SCALARS["domain"]},
    optional={
        **{name: SCALARS[name] | st.none() for name in ("source", "year", "weight", "draft", "created_at")},
        "tags": st.none() | st.lists(SCALARS["tags"], max_size=3),
        "pages": st.none() | st.lists(SCALARS["pages"], max_size=3),
    },
)


def read(data: object) -> tuple[Filter | None, tuple[FieldError, ...]]:
    try:
        return parse_filter(data, DECLARED), ()
    except ValidationError as refusal:
        return None, refusal.errors


def expected(data: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """The grammar's own meaning: conjunction of members, `$not` is `not`, absent is null."""
    for name, value in data.items():
        if name == "$and":
            holds = all(expected(part, document) for part in value)
        elif name == "$or":
            holds = any(expected(part, document) for part in value)
        elif name == "$not":
            holds = not expected(value, document)
        else:
            holds = _condition(name, document.get(name), value)
        if not holds:
            return False
    return True


def _comparable(name: str, value: Any) -> Any:
    return SECONDS[value] if name == "created_at" and value is not None else value


def _condition(name: str, held: Any, condition: Any) -> bool:
    if not isinstance(condition, dict):
        condition = {"$eq": condition}
    return all(_operator(name, held, operator, operand) for operator, operand in condition.items())


def _operator(name: str, held: Any, operator: str, operand: Any) -> bool:
    elements = [None] if held is None else held if isinstance(held, list) else [held]
    own = [_comparable(name, element) for element in elements]
    among = (
        [_comparable(name, each) for each in (operand if isinstance(operand, list) else [operand])]
        if (operator not in ("$not", "$exists"))
        else []
    )
    match operator:
        case "$eq" | "$in":
            return any(element in among for element in own)
        case "$ne" | "$nin":
            return not any(element in among for element in own)
        case "$gt":
            return held is not None and bool(own[0] > among[0])
        case "$gte":
            return held is not None and bool(own[0] >= among[0])
        case "$lt":
            return held is not None and bool(own[0] < among[0])
        case "$lte":
            return held is not None and bool(own[0] <= among[0])
        case "$exists":
            return (held is not None) is operand
        case _:
            return not _condition(name, held, operand)


@given(json_filters, metadata)
@pytest.mark.req("R8.5")
def test_the_tree_means_what_the_json_says(data: dict[str, Any], document: dict[str, Any]) -> None:
    tree, errors = read(data)
    if tree is None:  # only the bounds can refuse what the strategy makes
        assert {error.code for error in errors} <= {"too-deep", "too-many"}
        return
    values = field_values(document, DECLARED) | {"domain": document["domain"]}
    assert matches(tree, values) is expected(data, document)


@given(json_filters, metadata)
def test_a_negation_is_the_exact_complement(data: dict[str, Any], document: dict[str, Any]) -> None:
    (tree, _), (negation, _) = read(data), read({"$not": data})
    if tree is None or negation is None:
        return
    values = field_values(document, DECLARED) | {"domain": document["domain"]}
    assert matches(tree, values) is not matches(negation, values)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.sampled_from(["$and", "$or", "$not", "$in", "$gt", "year", "tags", "text"]), inner
        )
    ),
    max_leaves=20,
)


@given(json_values)
@pytest.mark.req("R8.6")
def test_any_json_is_a_tree_or_a_refusal_that_points_into_it(data: Any) -> None:
    tree, errors = read(data)
    assert (tree is None) == bool(errors)
    assert len(errors) <= 20
    assert all(error.loc.startswith("/filters") for error in errors)


@pytest.mark.parametrize(
    ("data", "tree"),
    [
        ({}, Constant(True)),
        ({"source": "a"}, Compare("source", Comparator.EQ, "a")),
        ({"$not": {"year": {"$gte": 2020}}}, Compare("year", Comparator.LT, 2020, or_absent=True)),
        ({"year": {"$not": {"$lt": 2020}}}, Compare("year", Comparator.GTE, 2020, or_absent=True)),
        ({"$not": {"$not": {"year": {"$gt": 1}}}}, Compare("year", Comparator.GT, 1)),
        ({"source": {"$ne": "a"}}, Compare("source", Comparator.NE, "a", or_absent=True)),
        ({"document_id": {"$ne": "a"}}, Compare("document_id", Comparator.NE, "a")),
        ({"source": None}, Exists("source", present=False)),
        ({"source": {"$ne": None}}, Exists("source")),
        ({"source": {"$in": [None]}}, Exists("source", present=False)),
        ({"source": {"$in": ["a", None, "b"]}}, Within("source", ("a", "b"), or_absent=True)),
        ({"source": {"$nin": ["a", None, "b"]}}, Within("source", ("a", "b"), negated=True)),
        ({"source": {"$nin": ["a", "b"]}}, Within("source", ("a", "b"), negated=True, or_absent=True)),
        ({"source": {"$in": []}}, Constant(False)),
        ({"source": {"$nin": []}}, Constant(True)),
        ({"domain": None}, Constant(False)),
        ({"tags": "a"}, Overlaps("tags", ("a",))),
        ({"tags": {"$nin": ["a", "b"]}}, Overlaps("tags", ("a", "b"), negated=True)),
        ({"tags": {"$in": ["a", None]}}, AnyOf((Overlaps("tags", ("a",)), Exists("tags", present=False)))),
        ({"tags": {"$nin": ["a", None]}}, AllOf((Overlaps("tags", ("a",), negated=True), Exists("tags")))),
        ({"created_at": "1970-01-01T00:00:01.5+00:00"}, Compare("created_at", Comparator.EQ, 1_500_000)),
        ({"year": 7.0}, Compare("year", Comparator.EQ, 7)),
        ({"year": {"$gt": INT64_MAX}}, Compare("year", Comparator.GT, INT64_MAX)),
        (
            {"$not": {"$and": [{"draft": True}, {"year": 1}]}},
            AnyOf((Compare("draft", Comparator.NE, True, True), Compare("year", Comparator.NE, 1, True))),
        ),
    ],
)
def test_a_filter_is_read_as(data: object, tree: Filter) -> None:
    assert parse_filter(data, DECLARED) == tree


def _nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {"year": 1}
    for _ in range(levels):
        data = {"$and": [data]}
    return data


@pytest.mark.req("R8.7")
@pytest.mark.parametrize(
    ("data", "loc", "code"),
    [
        (None, "/filters", "wrong-type"),
        ([], "/filters", "wrong-type"),
        ({"colour": "red"}, "/filters/colour", "unknown-field"),
        ({"a b": "red"}, "/filters", "unknown-field"),
        ({"x" * 65: 1}, "/filters", "unknown-field"),
        ({"tenant": "acme"}, "/filters/tenant", "reserved"),
        ({"id": "c"}, "/filters/id", "reserved"),
        ({"text": "c"}, "/filters/text", "reserved"),
        ({"$xor": []}, "/filters/$xor", "unknown-operator"),
        ({"year": {"$regex": "a"}}, "/filters/year/$regex", "unknown-operator"),
        ({"year": {"gte": 1}}, "/filters/year/gte", "unknown-operator"),
        ({"year": {'" or true or "': 1}}, "/filters/year", "unknown-operator"),
        ({"year": {}}, "/filters/year", "wrong-type"),
        ({"year": "2020"}, "/filters/year", "wrong-type"),
        ({"year": True}, "/filters/year", "wrong-type"),
        ({"year": 1.5}, "/filters/year", "wrong-type"),
        ({"year": 2**63}, "/filters/year", "wrong-type"),
        ({"year": -(2**63)}, "/filters/year", "wrong-type"),
        ({"year": 1e300}, "/filters/year", "wrong-type"),
        ({"year": {"$gt": None}}, "/filters/year/$gt", "wrong-type"),
        ({"weight": float("nan")}, "/filters/weight", "wrong-type"),
        ({"weight": float("inf")}, "/filters/weight", "wrong-type"),
        ({"weight": False}, "/filters/weight", "wrong-type"),
        ({"weight": 10**400}, "/filters/weight", "wrong-type"),
        ({"draft": 1}, "/filters/draft", "wrong-type"),
        ({"draft": {"$gt": False}}, "/filters/draft/$gt", "wrong-type"),
        ({"tags": {"$lt": "a"}}, "/filters/tags/$lt", "wrong-type"),
        ({"tags": ["a"]}, "/filters/tags", "wrong-type"),
        ({"source": 5}, "/filters/source", "wrong-type"),
        ({"source": "a\x00"}, "/filters/source", "wrong-type"),
        ({"source": "a\n"}, "/filters/source", "wrong-type"),
        ({"source": "\ud800"}, "/filters/source", "wrong-type"),
        ({"source": "é" * 513}, "/filters/source", "too-many"),
        ({"source": {"$in": "a"}}, "/filters/source/$in", "wrong-type"),
        ({"source": {"$in": ["a", 5]}}, "/filters/source/$in/1", "wrong-type"),
        ({"source": {"$in": ["a"] * 1001}}, "/filters/source/$in", "too-many"),
        ({"source": {"$exists": 1}}, "/filters/source/$exists", "wrong-type"),
        ({"created_at": "yesterday"}, "/filters/created_at", "wrong-type"),
        ({"created_at": "2020-01-01T00:00:00"}, "/filters/created_at", "wrong-type"),
        ({"created_at": "2020-02-30T00:00:00Z"}, "/filters/created_at", "wrong-type"),
        ({"created_at": "2020-01-01T00:00:00+24:00"}, "/filters/created_at", "wrong-type"),
        ({"created_at": "٢٠٢٠-01-01"}, "/filters/created_at", "wrong-type"),
        ({"created_at": 5}, "/filters/created_at", "wrong-type"),
        ({"$and": []}, "/filters/$and", "wrong-type"),
        ({"$or": {}}, "/filters/$or", "wrong-type"),
        ({"$and": [{"year": 1}, 5]}, "/filters/$and/1", "wrong-type"),
        ({"$not": 5}, "/filters/$not", "wrong-type"),
        (_nested(6), "/filters" + "/$and/0" * 6, "too-deep"),
        ({"$or": [{"year": n} for n in range(51)]}, "/filters/$or", "too-many"),
        ({"$and": [{"$or": [{}] * 30}, {"$or": [{}] * 30}]}, "/filters/$and/1/$or/20", "too-many"),
    ],
)
def test_a_refusal_names_the_place_and_the_reason(data: object, loc: str, code: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        parse_filter(data, DECLARED)
    (error,) = refusal.value.errors
    assert (error.loc, error.code) == (loc, code)


def test_five_levels_and_fifty_conditions_are_accepted() -> None:
    assert parse_filter(_nested(5), DECLARED) == Compare("year", Comparator.EQ, 1)
    assert isinstance(parse_filter({"$or": [{"year": n} for n in range(50)]}, DECLARED), AnyOf)


def test_an_unknown_field_is_told_which_fields_there_are() -> None:
    with pytest.raises(ValidationError, match=r"declared: created_at, document_id, domain, draft, pages"):
        parse_filter({"colour": "red"}, DECLARED)


def test_a_refused_value_is_never_repeated() -> None:
    with pytest.raises(ValidationError) as refusal:
        parse_filter(
            {"year": "hunter2", "hunter 2": 1, "tags": {"$hunter-2": 1}, "draft": {"$in": ["hunter2"]}}, DECLARED
        )
    assert "hunter" not in str(refusal.value)
    assert len(refusal.value.errors) == 4


def test_at_most_twenty_errors_are_named() -> None:
    with pytest.raises(ValidationError) as refusal:
        parse_filter({"$and": [{f"field{n}": 1} for n in range(40)]}, DECLARED)
    assert len(refusal.value.errors) == 20
