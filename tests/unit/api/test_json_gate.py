from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advanced_rag.api.json_gate import MAX_ERRORS, MAX_JSON_VALUES, parse_json
from advanced_rag.api.refusals import MalformedJson
from advanced_rag.constants import INT64_MAX, MAX_JSON_DEPTH
from advanced_rag.exceptions import ValidationError

# Any text that UTF-8 can carry, NUL excepted.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-INT64_MAX - 1, INT64_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def refused(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        parse_json(body)
    return [(error.loc, error.code) for error in caught.value.errors]


@pytest.mark.req("R8.6")
@given(values, st.booleans())
def test_whatever_is_allowed_comes_through_as_it_is(value: Any, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.req("R8.6")
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode(errors="surrogatepass")))
@example(b"\xff")
@example(b'{"a": "\\ud800", "a": NaN}')
def test_no_body_raises_anything_but_a_refusal(body: bytes) -> None:
    try:
        value = parse_json(body)
    except (MalformedJson, ValidationError):
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # what comes through can be sent back


@pytest.mark.req("R8.6")
@settings(max_examples=50)
@given(st.lists(texts, max_size=5))
def test_unicode_text_comes_through_byte_by_byte(strings: list[str]) -> None:
    body = json.dumps(strings, ensure_ascii=False).encode()
    assert [text.encode() for text in parse_json(body)] == [text.encode() for text in strings]


@pytest.mark.req("R8.6")
@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b'{"a": NaN}', [("/a", "not-finite")]),
        (b'{"a": [1, -Infinity]}', [("/a/1", "not-finite")]),
        (b'{"a": {"b": 1e400}}', [("/a/b", "not-finite")]),
        (b"1e999", [("", "not-finite")]),
        (b'{"a": 9223372036854775808}', [("/a", "number-too-large")]),
        (b'{"a": -9223372036854775809}', [("/a", "number-too-large")]),
        (b'{"a": ' + b"9" * 5_000 + b"}", [("/a", "number-too-large")]),
        (b'{"a": 1, "b": 2, "a": 3}', [("/a", "duplicate-key")]),
        (b'{"o": {"a": 1, "a": 1}}', [("/o/a", "duplicate-key")]),
        (b'{"a": "x\\u0000y"}', [("/a", "nul-character")]),
        (b'{"a": "\\ud800"}', [("/a", "invalid-unicode")]),
        (b'{"a": "\\uDFFFx"}', [("/a", "invalid-unicode")]),
        (b'{"a": "caf\xe9"}', [("/a", "invalid-unicode")]),
        (b'{"a/b~c": "\\ud800"}', [("/a~1b~0c", "invalid-unicode")]),
        (b'{"o": {"\\u0000": 1}}', [("/o", "nul-character")]),
        (b'{"a": NaN, "b": "\\u0000", "c": 1}', [("/a", "not-finite"), ("/b", "nul-character")]),
    ],
)
def test_what_is_refused_is_named(body: bytes, errors: list[tuple[str, str]]) -> None:
    assert refused(body) == errors


@pytest.mark.req("R8.6")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 01}',
        b'{"a": 1,}',
        b"[1] 2",
        b'"\n"',
        b'"\x00"',
        b"\xff\xfe{\x00}\x00",
        b"nul",
        b"\xff",
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJson, match=r"line \d"):
        parse_json(body)


@pytest.mark.req("R8.6")
def test_the_edges_of_what_is_allowed_pass() -> None:
    assert parse_json(b'{"a": 9223372036854775807, "b": -9223372036854775808}') == {"a": INT64_MAX, "b": -INT64_MAX - 1}
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"
    assert parse_json(b'"\\\\u0000 \\\\ud800"') == "\\u0000 \\ud800"
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]
    nested = b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH
    assert json.dumps(parse_json(nested)).encode() == nested


@pytest.mark.req("R8.6")
@pytest.mark.parametrize("depth", [MAX_JSON_DEPTH + 1, 500, 2_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deeper_than_the_limit_is_refused_however_deep(depth: int, opening: bytes, closing: bytes) -> None:
    ((loc, code),) = refused(opening * depth + b"1" + closing * depth)
    assert code == "too-deep"
    assert loc in ("", "/0" * MAX_JSON_DEPTH, "/a" * MAX_JSON_DEPTH)


@pytest.mark.req("R8.7")
def test_a_million_small_values_are_refused_before_they_are_made() -> None:
    assert refused(b"[" + b"{}," * MAX_JSON_VALUES + b"{}]") == [("", "too-many")]


def test_punctuation_inside_a_long_text_is_no_value() -> None:
    text = "[{,}]" * (MAX_JSON_VALUES // 2)
    assert parse_json(json.dumps([text]).encode()) == [text]


def test_at_most_twenty_fields_are_named() -> None:
    assert len(refused(b"[" + b",".join([b"NaN"] * 50) + b"]")) == MAX_ERRORS


@pytest.mark.req("R8.6")
def test_no_error_repeats_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_json(b'{"a": "CANARY\\u0000", "b": 77777777777777777777777, "c": "CANARY\\ud800"}')
    assert "CANARY" not in str(caught.value)
    assert "7777" not in str(caught.value)
