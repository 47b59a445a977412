"""Declared fields: their names and their values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.filter_fields import check_declared_fields, field_values, literal, readable_field_values
from advanced_rag.domain.filters import FieldType
from advanced_rag.exceptions import ValidationError

DECLARED = {"year": FieldType.INT, "tags": FieldType.STRINGS, "pages": FieldType.INTS, "at": FieldType.DATETIME}


def test_declared_fields_of_the_metadata_come_out_typed() -> None:
    metadata = {"year": 2020.0, "tags": ["a", "b"], "pages": [], "at": "1970-01-01T00:00:00Z", "other": {"x": [1]}}
    assert field_values(metadata, DECLARED) == {"year": 2020, "tags": ("a", "b"), "pages": (), "at": 0}


def test_null_and_missing_are_absent() -> None:
    assert field_values({"year": None}, DECLARED) == {}


@pytest.mark.parametrize(
    ("metadata", "loc", "code"),
    [
        ({"year": "2020"}, "/metadata/year", "wrong-type"),
        ({"year": True}, "/metadata/year", "wrong-type"),
        ({"tags": "a"}, "/metadata/tags", "wrong-type"),
        ({"tags": ["a", None]}, "/metadata/tags", "wrong-type"),
        ({"tags": {"a": 1}}, "/metadata/tags", "wrong-type"),
        ({"pages": [1, 1.5]}, "/metadata/pages", "wrong-type"),
        ({"pages": [1] * 1001}, "/metadata/pages", "too-many"),
        ({"tags": ["x" * 1025]}, "/metadata/tags", "too-many"),
        ({"at": "2020"}, "/metadata/at", "wrong-type"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(metadata: dict[str, Any], loc: str, code: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        field_values(metadata, DECLARED)
    (error,) = refusal.value.errors
    assert (error.loc, error.code) == (loc, code)
    assert readable_field_values({"year": 1, **metadata}, DECLARED).keys() <= {"year"}


def test_every_refused_field_is_named_under_the_given_place() -> None:
    with pytest.raises(ValidationError) as refusal:
        field_values({"year": "x", "at": "y"}, DECLARED, loc="/documents/3/metadata")
    assert [error.loc for error in refusal.value.errors] == [
        "/documents/3/metadata/year",
        "/documents/3/metadata/at",
    ]


def test_stored_values_may_hold_line_breaks_and_literals_may_not() -> None:
    assert field_values({"tags": ["a\nb"]}, DECLARED) == {"tags": ("a\nb",)}
    with pytest.raises(ValueError, match="control"):
        literal("a\nb", FieldType.STRING)


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=offsets)  # noqa: DTZ001


@given(moments, st.sampled_from("T t"))
def test_a_date_time_is_its_microseconds_since_the_epoch(moment: datetime, separator: str) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert literal(moment.isoformat(sep=separator), FieldType.DATETIME) == (moment - epoch) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T00:00:00.1234567Z", 123_456),
        ("1970-01-01t00:00:00z", 0),
        ("1969-12-31T23:59:60Z", 0),
        ("1970-01-01T00:00:00-00:30", 1_800_000_000),
    ],
)
def test_rfc_3339_is_read_in_full(text: str, microseconds: int) -> None:
    assert literal(text, FieldType.DATETIME) == microseconds


@pytest.mark.parametrize("name", ["year", "source", "order_no", "android", "matching", "standard", "a1"])
def test_ordinary_names_may_be_declared(name: str) -> None:
    check_declared_fields({name: FieldType.STRING})


@pytest.mark.parametrize(
    "name",
    [
        *("Year", "a__set", "_a", "1a", "a-b", "", "x" * 65, "é", "tenant", "id", "text", "terms"),
        *("and", "not", "like", "iso", "match_any", "array_length", "text_match", "text_match_fuzzy"),
        *("phrase_match", "json_contains_all", "st_within"),
    ],
)
def test_names_that_an_engine_or_we_take_are_refused_at_start(name: str) -> None:
    with pytest.raises(ValueError, match="declared filter fields"):
        check_declared_fields({"year": FieldType.INT, name: FieldType.STRING})
