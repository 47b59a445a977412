from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.milvus.dialect import EMBEDDED, OLD_SERVER, SERVER, Dialect
from advanced_rag.adapters.milvus.filters import matches_nothing, render, render_ids, render_ids_after
from advanced_rag.domain.documents import Scalar, Tenant
from advanced_rag.domain.filters import (
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
from tests.contracts.vector_index import TREES

ACME = Tenant("acme")
DIALECTS = (EMBEDDED, SERVER, OLD_SERVER)


def test_the_example_of_the_wire_contract() -> None:
    tree = AllOf(
        (Compare("lang", Comparator.NE, "de", or_absent=True), Compare("year", Comparator.GTE, 2020)),
    )
    rendered = render(tree, SERVER, tenant=ACME)
    assert rendered.expression == (
        "tenant == {p0} and ((lang__set == false or lang != {p1}) and (year__set == true and year >= {p2}))"
    )
    assert rendered.params == {"p0": "acme", "p1": "de", "p2": 2020}
    assert rendered.exact


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (None, 'tenant == "acme"'),
        (Constant(value=True), 'tenant == "acme"'),
        (Constant(value=False), 'tenant == "acme" and id == ""'),
        (Compare("open", Comparator.EQ, literal=True), 'tenant == "acme" and (open__set == true and open == true)'),
        (Compare("year", Comparator.EQ, 1), 'tenant == "acme" and (year__set == true and year == 1)'),
        (Compare("price", Comparator.LT, -1.5), 'tenant == "acme" and (price__set == true and price < -1.5)'),
        (Compare("document_id", Comparator.EQ, "d"), 'tenant == "acme" and document_id == "d"'),
        (Within("domain", ("a", "b"), negated=True), 'tenant == "acme" and domain not in ["a", "b"]'),
        (
            Within("lang", ("en", "de"), negated=True, or_absent=True),
            'tenant == "acme" and (lang__set == false or lang not in ["en", "de"])',
        ),
        (Within("price", (1, 2.5)), 'tenant == "acme" and (price__set == true and price in [1.0, 2.5])'),
        (Exists("lang", present=False), 'tenant == "acme" and lang__set == false'),
        (Overlaps("tags", ("a", "b")), 'tenant == "acme" and array_contains_any(tags, ["a", "b"])'),
        (Within("lang", (), negated=True), 'tenant == "acme" and lang__set == true'),
        (AnyOf((Constant(value=True), Exists("lang"))), 'tenant == "acme"'),
    ],
)
def test_each_node_on_the_embedded_engine(tree: Filter | None, expected: str) -> None:
    rendered = render(tree, EMBEDDED, tenant=ACME)
    assert (rendered.expression, rendered.params, rendered.exact) == (expected, {}, True)


def test_what_the_engine_cannot_say_is_true_and_marked() -> None:
    tree = AllOf((Overlaps("tags", ("a",), negated=True), Exists("lang")))
    embedded = render(tree, EMBEDDED, tenant=ACME)
    assert embedded.expression == 'tenant == "acme" and lang__set == true'
    assert not embedded.exact
    server = render(tree, SERVER, tenant=ACME)
    assert "not array_contains_any(tags, {p1})" in server.expression
    assert server.exact
    assert render(AnyOf(tree.parts), EMBEDDED, tenant=ACME).expression == 'tenant == "acme"'


def test_an_old_server_never_sees_a_character_that_it_would_not_match() -> None:
    beyond = Compare("lang", Comparator.EQ, "😀")
    assert not render(beyond, OLD_SERVER, tenant=ACME).exact
    assert render(beyond, OLD_SERVER, tenant=ACME).expression == 'tenant == "acme"'
    assert render(Compare("lang", Comparator.EQ, "猫"), OLD_SERVER).exact
    assert render(beyond, SERVER, tenant=ACME).params["p1"] == "😀"


def test_literals_are_quoted_and_escaped() -> None:
    assert render(Compare("id", Comparator.EQ, 'a"b\\c{p0}'), EMBEDDED).expression == 'id == "a\\"b\\\\c{p0}"'
    assert render_ids(["x", "y"], EMBEDDED, tenant=ACME).expression == 'tenant == "acme" and id in ["x", "y"]'
    assert render_ids(["x"], SERVER).expression == "id == {p0}"
    assert render_ids_after("x", EMBEDDED).expression == 'id > "x"'


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("literal", ["a\nb", "\x00", "\ud800", float("nan"), float("inf"), 2**63, -(2**63)])
def test_what_no_expression_can_hold_is_a_bug(dialect: Dialect, literal: Scalar) -> None:
    with pytest.raises(ValueError, match="literal"):
        render(Compare("lang", Comparator.EQ, literal), dialect)


@pytest.mark.parametrize("name", ["", "a b", "a-b", 'x" or id != "', "A", "ü", "_a", "a" * 65])
def test_a_field_that_is_no_identifier_is_a_bug(name: str) -> None:
    for node in (Compare(name, Comparator.EQ, 1), Exists(name), Overlaps(name, (1,)), Within(name, (1, 2))):
        with pytest.raises(ValueError, match="field name"):
            render(node, EMBEDDED)


def test_wide_filters_are_balanced() -> None:
    wide = AnyOf(tuple(Compare("year", Comparator.EQ, n) for n in range(1_000)))
    text = render(wide, EMBEDDED, tenant=ACME).expression
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    assert deepest <= 12


@given(tree=TREES, dialect=st.sampled_from(DIALECTS))
def test_any_filter_begins_with_the_tenant_and_is_well_formed(tree: Filter, dialect: Dialect) -> None:
    rendered = render(tree, dialect, tenant=Tenant('a"c\\me'))
    own = "tenant == {p0}" if dialect.templates else 'tenant == "a\\"c\\\\me"'
    assert rendered.expression == own or rendered.expression.startswith(own + " and ")
    without_strings = re.sub(r'"(?:[^"\\]|\\.)*"', '""', rendered.expression)
    assert without_strings.count("(") == without_strings.count(")")
    assert set(re.findall(r"\{(p\d+)\}", without_strings)) == set(rendered.params)
    assert matches_nothing(tree) == without_strings.endswith(' and id == ""')
    if not dialect.negated_array_contains:
        assert "not array" not in without_strings
    if dialect.templates:
        assert '"' not in re.sub(r'id [!=]= ""', "", rendered.expression)


@given(text=st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"])))
def test_a_string_literal_reads_back_as_itself(text: str) -> None:
    expression = render(Compare("id", Comparator.EQ, text), EMBEDDED).expression
    quoted = expression.removeprefix("id == ")
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', quoted, re.DOTALL)
    assert re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL) == text
