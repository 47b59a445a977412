"""What every `VectorIndex` does. A subclass gives an empty `index` with the filter fields `FIELDS`, fake or real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any, Final, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advanced_rag.domain.documents import (
    ChunkId,
    DocumentId,
    FieldValue,
    IndexRow,
    Passage,
    Scalar,
    Tenant,
    Terms,
    Vector,
)
from advanced_rag.domain.filter_matching import matches, simplified
from advanced_rag.domain.filters import (
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
from advanced_rag.exceptions import DependencyInvalid
from advanced_rag.ports.indexes import PassageStore, Probe, VectorIndex

DIMENSION: Final = 8
FIELDS: Final[DeclaredFields] = {
    "lang": FieldType.STRING,
    "year": FieldType.INT,
    "price": FieldType.FLOAT,
    "open": FieldType.BOOL,
    "created_at": FieldType.DATETIME,
    "tags": FieldType.STRINGS,
    "codes": FieldType.INTS,
}
ACME: Final = Tenant("acme")
GLOBEX: Final = Tenant('glo"bex\\猫😀')
AWKWARD: Final = (
    'q"uote',
    "back\\slash",
    '\\"',
    "猫と犬",
    "😀👩‍👩‍👧",
    "",
    " ",
    "%_",
    "a\u202eb",
    "{p0}",
    "' or 1 == 1",
)


def unit(*values: float) -> Vector:
    """These values, then zeros, at unit length."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[: len(values)] = values
    norm: Vector = vector / np.linalg.norm(vector)
    return norm


def row(
    number: int,
    *,
    tenant: Tenant = ACME,
    document: str = "d",
    version: int = 1,
    domain: str = "",
    fields: Mapping[str, FieldValue] | None = None,
    vector: Vector | None = None,
    terms: str = "word",
) -> IndexRow:
    """A row with the id `c00000<number>`; nearest to `unit(1)` and searchable by `word` unless told otherwise."""
    chunk_id, document_id = ChunkId(f"c{number:06d}"), DocumentId(document)
    return IndexRow(
        chunk_id=chunk_id,
        tenant=tenant,
        document_id=document_id,
        version=version,
        domain=domain,
        fields=fields or {},
        vector=unit(1.0) if vector is None else vector,
        terms=Terms(terms),
        passage=Passage(
            chunk_id=chunk_id,
            document_id=document_id,
            version=version,
            title=f"Title {number}",
            domain=domain,
            text=f"Text {number} 猫😀 \"'\\ \n\t end",
            start=number,
            end=number + 10,
            heading="A > B",
            metadata={"a": [1, {"b": "ü😀"}], "n": None, "f": 0.5},
        ),
    )


VALUES: Final[Sequence[Mapping[str, FieldValue]]] = (
    {},
    {"lang": "en", "year": 2020, "price": 1.5, "open": True, "created_at": 10**15, "tags": ("a", "b"), "codes": (1, 2)},
    {"lang": "de", "year": -5, "price": -0.25, "open": False, "created_at": 0, "tags": (), "codes": ()},
    {"lang": "", "year": 0, "price": 0.0, "open": False, "tags": ("",), "codes": (0,)},
    {"lang": "猫", "year": 2**63 - 1, "price": 1e300, "tags": ("猫", "😀")},
    {"year": -(2**63 - 1), "price": 5e-324, "open": True, "codes": (-(2**63 - 1), 7)},
    {"lang": 'q"\\', "year": 2021, "tags": ('q"\\', "a"), "created_at": -1},
    {"lang": "fr", "codes": (2, 3), "price": 2020.0},
)
_STRINGS: Final = ("", "a", "b", "en", "de", "fr", "猫", "😀", 'q"\\', "zz")
_INTS: Final = (0, 1, 2, 3, 7, -5, 2020, 2021, 10**15, -1, 2**63 - 1, -(2**63 - 1))
_FLOATS: Final = (0.0, -0.25, 1.5, 1e300, 5e-324, 2020.0, -1e-7)
_LITERALS: Final[Mapping[FieldType, Sequence[Any]]] = {
    FieldType.STRING: _STRINGS,
    FieldType.INT: _INTS,
    FieldType.FLOAT: _FLOATS,
    FieldType.BOOL: (True, False),
    FieldType.DATETIME: _INTS,
    FieldType.STRINGS: _STRINGS,
    FieldType.INTS: _INTS,
}


def _leaf(name: str) -> st.SearchStrategy[Filter]:
    kind = FIELDS[name]
    literal = st.sampled_from(_LITERALS[kind])
    literals = st.lists(literal, max_size=4).map(tuple)
    if kind.is_array:
        return st.one_of(
            st.builds(Overlaps, st.just(name), literals, st.booleans()), st.builds(Exists, st.just(name), st.booleans())
        )
    ordered = (Comparator.EQ, Comparator.NE) if kind is FieldType.BOOL else tuple(Comparator)
    return st.one_of(
        st.builds(Compare, st.just(name), st.sampled_from(ordered), literal, st.booleans()),
        st.builds(Within, st.just(name), literals, st.booleans(), st.booleans()),
        st.builds(Exists, st.just(name), st.booleans()),
    )


_LEAVES: Final = st.one_of(
    st.sampled_from(sorted(FIELDS)).flatmap(_leaf),
    st.builds(Constant, st.booleans()),
    st.builds(Compare, st.just("document_id"), st.sampled_from(list(Comparator)), st.sampled_from(("d1", "d3"))),
    st.builds(Within, st.just("domain"), st.lists(st.sampled_from(("", "x")), max_size=2).map(tuple), st.booleans()),
)
TREES: Final = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=4).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)


def _holds_negated_overlap(tree: Filter) -> bool:
    match tree:
        case AllOf(parts) | AnyOf(parts):
            return any(map(_holds_negated_overlap, parts))
        case Overlaps(negated=negated):
            return negated
        case _:
            return False


async def _fill_with_values(index: VectorIndex) -> list[IndexRow]:
    rows = [
        row(n, fields=fields, document=f"d{n}", domain="x" if n % 2 else "", terms="word " + "pad " * n)
        for n, fields in enumerate(VALUES)
    ]
    await index.upsert(rows)
    return rows


def _values(stored: IndexRow) -> dict[str, FieldValue]:
    return {**stored.fields, "document_id": stored.document_id, "domain": stored.domain}


class VectorIndexContract:
    """For every lane. `probe` finds the rows of `row()` as they are by default."""

    probe: Probe
    says_every_filter = True  # False: negated array conditions come back as true, to be checked by the caller

    async def found(self, index: VectorIndex, where: Filter | None = None, *, tenant: Tenant = ACME) -> set[ChunkId]:
        return {hit.chunk_id for hit in await index.search(self.probe, tenant=tenant, limit=1_000, where=where)}

    async def test_an_empty_index_answers_nothing(self, index: VectorIndex) -> None:
        assert await index.search(self.probe, tenant=ACME, limit=10) == []
        assert await index.present([ChunkId("c1")]) == set()
        assert await index.page_of_ids(None, 10) == []
        await index.delete([ChunkId("c1")])

    async def test_repeating_an_upsert_changes_nothing(self, index: VectorIndex) -> None:
        for _ in range(2):
            await index.upsert([row(1), row(2)])
        hits = await index.search(self.probe, tenant=ACME, limit=10)
        assert sorted(hit.chunk_id for hit in hits) == ["c000001", "c000002"]

    async def test_an_upsert_replaces_the_whole_row(self, index: VectorIndex) -> None:
        await index.upsert([row(1, document="old", fields={"lang": "en", "tags": ("a",)})])
        await index.upsert([row(1, document="new", version=2)])
        (hit,) = await index.search(self.probe, tenant=ACME, limit=10)
        assert (hit.document_id, hit.version) == ("new", 2)
        assert await self.found(index, Exists("lang")) == set()
        assert await self.found(index, Overlaps("tags", ("a",))) == set()

    async def test_of_an_id_that_occurs_twice_in_one_upsert_the_last_row_counts(self, index: VectorIndex) -> None:
        await index.upsert([row(1, document="first"), row(1, document="last")])
        (hit,) = await index.search(self.probe, tenant=ACME, limit=10)
        assert hit.document_id == "last"

    async def test_upserting_and_deleting_nothing_is_no_error(self, index: VectorIndex) -> None:
        await index.upsert([])
        await index.delete([])
        assert await index.present([]) == set()

    async def test_a_tenant_never_sees_another_tenants_chunks(self, index: VectorIndex) -> None:
        await index.upsert([row(1, fields={"lang": "en"}), row(2, tenant=GLOBEX, fields={"lang": "en"})])
        tautology = AnyOf((Exists("lang"), Exists("lang", present=False)))
        for where in (None, tautology, Compare("lang", Comparator.EQ, "en"), Within("document_id", ("d",))):
            assert await self.found(index, where) == {"c000001"}
            assert await self.found(index, where, tenant=GLOBEX) == {"c000002"}
            assert await self.found(index, where, tenant=Tenant("nobody")) == set()
            assert await self.found(index, where, tenant=Tenant('acme" or tenant != "')) == set()

    async def test_a_search_gives_at_most_the_limit_best_first(self, index: VectorIndex) -> None:
        await index.upsert([row(n) for n in range(20)])
        for limit in (0, 1, 7, 20, 50, 20_000):
            hits = await index.search(self.probe, tenant=ACME, limit=limit)
            assert len(hits) == min(limit, 20)
            assert all(better.score >= worse.score for better, worse in pairwise(hits))

    async def test_deleted_rows_are_gone_and_the_others_stay(self, index: VectorIndex) -> None:
        await index.upsert([row(n) for n in range(5)])
        await index.delete([ChunkId("c000001"), ChunkId("c000003"), ChunkId("c999999")])
        left = {"c000000", "c000002", "c000004"}
        assert await self.found(index) == left
        assert await index.present([ChunkId(f"c{n:06d}") for n in range(5)]) == left
        await index.upsert([row(3)])
        assert await self.found(index) == {*left, "c000003"}

    async def test_an_acknowledged_row_is_present_at_once(self, index: VectorIndex) -> None:
        rows = [row(n) for n in range(300)]
        await index.upsert(rows)
        ids = [stored.chunk_id for stored in rows]
        assert await index.present([*ids, ChunkId("c999999"), ids[0]]) == set(ids)

    async def test_ids_come_in_order_page_by_page_of_all_tenants(self, index: VectorIndex) -> None:
        numbers = list(range(2_500))
        Random(7).shuffle(numbers)
        await index.upsert([row(n, tenant=GLOBEX if n % 2 else ACME) for n in numbers])
        await index.delete([ChunkId(f"c{n:06d}") for n in range(0, 2_500, 5)])
        pages, after = [], None
        while page := await index.page_of_ids(after, 300):
            assert len(page) <= 300
            pages.extend(page)
            after = page[-1]
        assert pages == [f"c{n:06d}" for n in range(2_500) if n % 5]

    async def test_a_constantly_false_filter_finds_nothing(self, index: VectorIndex) -> None:
        await index.upsert([row(1)])
        for where in (Constant(value=False), Within("lang", ()), AnyOf(()), Overlaps("tags", ())):
            assert await self.found(index, where) == set()

    @pytest.mark.parametrize("text", AWKWARD)
    async def test_a_string_of_any_kind_is_found_by_itself_alone(self, index: VectorIndex, text: str) -> None:
        fields = {"lang": text, "tags": (text, "other")}
        await index.upsert([row(1, fields=fields, document=text or "d", domain=text), row(2, fields={"lang": "other"})])
        for where in (
            Compare("lang", Comparator.EQ, text),
            Within("lang", (text, "never")),
            Overlaps("tags", ("never", text)),
            Compare("domain", Comparator.EQ, text) if text else Exists("tags"),
        ):
            assert await self.found(index, where) == {"c000001"}
        assert await self.found(index, Compare("lang", Comparator.NE, text, or_absent=True)) == {"c000002"}

    async def test_every_comparison_treats_an_absent_field_as_told(self, index: VectorIndex) -> None:
        rows = await _fill_with_values(index)
        for comparator in Comparator:
            for or_absent in (False, True):
                for name, literal in (("year", 0), ("lang", "de"), ("price", 0.0), ("created_at", 0)):
                    where = Compare(name, comparator, literal, or_absent)
                    expected = {r.chunk_id for r in rows if matches(where, _values(r))}
                    assert await self.found(index, where) == expected, where

    async def test_lists_of_a_thousand_and_wide_disjunctions_are_taken(self, index: VectorIndex) -> None:
        rows = await _fill_with_values(index)
        many: tuple[Scalar, ...] = tuple(f"w{n}" for n in range(999))
        wide = AnyOf(tuple(Compare("year", Comparator.EQ, n, n % 2 == 0) for n in range(2_000, 2_050)))
        for where in (Within("lang", (*many, "de")), Within("lang", many, negated=True, or_absent=True), wide):
            expected = {r.chunk_id for r in rows if matches(where, _values(r))}
            assert await self.found(index, where) == expected

    @settings(
        max_examples=120,
        deadline=None,
        # Examples share the index, which they fill alike; subclasses run the same method on their own.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(tree=TREES)
    async def test_any_filter_finds_what_it_means(self, index: VectorIndex, tree: Filter) -> None:
        rows = await _fill_with_values(index)
        expected = {r.chunk_id for r in rows if matches(tree, _values(r))}
        found = await self.found(index, tree)
        if self.says_every_filter or not _holds_negated_overlap(simplified(tree)):
            assert found == expected
        else:  # never less, and the caller's second look takes away the rest
            assert found >= expected


class DenseIndexContract(VectorIndexContract):
    """For a lane that is searched by vector."""

    probe: Probe = unit(1.0)

    async def test_scores_are_cosines_best_first(self, index: VectorIndex) -> None:
        vectors = {1: unit(1.0), 2: unit(1.0, 1.0), 3: unit(0.0, 1.0), 4: unit(-1.0)}
        await index.upsert([row(n, vector=vector) for n, vector in vectors.items()])
        hits = await index.search(unit(1.0), tenant=ACME, limit=10)
        assert [hit.chunk_id for hit in hits] == ["c000001", "c000002", "c000003", "c000004"]
        assert [hit.score for hit in hits] == pytest.approx([1.0, 0.5**0.5, 0.0, -1.0], abs=1e-5)

    async def test_vectors_come_back_as_they_went_in(self, index: VectorIndex) -> None:
        vectors = {ChunkId(f"c{n:06d}"): unit(1.0, n / 7, -n) for n in range(5)}
        await index.upsert([row(n, vector=vector) for n, vector in enumerate(vectors.values())])
        found = await index.vectors([*vectors, ChunkId("c999999")])
        assert found.keys() == vectors.keys()
        for chunk_id, vector in vectors.items():
            assert found[chunk_id].dtype == np.float32
            assert np.array_equal(found[chunk_id], vector)
        assert await index.vectors([]) == {}

    @pytest.mark.parametrize("bad", [np.ones(DIMENSION + 1, dtype=np.float32), np.full(DIMENSION, np.nan, np.float32)])
    async def test_a_vector_that_does_not_belong_here_is_refused(self, index: VectorIndex, bad: Vector) -> None:
        with pytest.raises(DependencyInvalid):
            await index.search(bad, tenant=ACME, limit=1)
        with pytest.raises(DependencyInvalid):
            await index.upsert([row(1), row(2, vector=bad)])
        assert await index.page_of_ids(None, 10) == []


class SparseIndexContract(VectorIndexContract):
    """For the lane that is searched by terms; its index is a `PassageStore` too."""

    probe: Probe = Terms("word")

    async def test_it_has_no_vectors_to_give(self, index: VectorIndex) -> None:
        await index.upsert([row(1)])
        assert await index.vectors([ChunkId("c000001")]) == {}

    async def test_rarer_terms_and_shorter_texts_rank_higher(self, index: VectorIndex) -> None:
        texts = {1: "cat dog", 2: "cat", 3: "cat cat dog mouse 猫", 4: "pg_stat e-1042 😀"}
        await index.upsert([row(n, terms=terms) for n, terms in texts.items()])
        best = [hit.chunk_id for hit in await index.search(Terms("cat mouse"), tenant=ACME, limit=10)]
        assert best == ["c000003", "c000002", "c000001"]
        for term, number in (("猫", 3), ("pg_stat", 4), ("e-1042", 4), ("😀", 4)):
            assert [hit.chunk_id for hit in await index.search(Terms(term), tenant=ACME, limit=9)] == [f"c{number:06d}"]

    async def test_terms_that_occur_nowhere_find_nothing(self, index: VectorIndex) -> None:
        await index.upsert([row(1), row(2, terms="")])
        for terms in ("", "  ", "nowhere", "wor", "words"):
            assert await index.search(Terms(terms), tenant=ACME, limit=10) == []

    async def test_an_index_of_rows_without_terms_answers_nothing(self, index: VectorIndex) -> None:
        await index.upsert([row(1, terms="")])
        assert await index.search(Terms("word"), tenant=ACME, limit=10) == []

    async def test_a_text_beyond_every_bound_goes_in_and_is_found_by_its_beginning(self, index: VectorIndex) -> None:
        long = row(1, terms="zebra " + "wörter " * 20_000)
        await index.upsert([replace(long, passage=replace(long.passage, text="ü" * 100_000)), row(2)])
        assert [hit.chunk_id for hit in await index.search(Terms("zebra"), tenant=ACME, limit=9)] == ["c000001"]
        assert await self.found(index) == {"c000002"}

    async def test_passages_come_back_as_they_went_in_marked_stale(self, index: VectorIndex) -> None:
        store = cast("PassageStore", index)  # the same object plays both parts
        rows = [row(n, domain="x", version=n) for n in range(3)]
        await index.upsert([*rows, row(9, tenant=GLOBEX)])
        ids = [ChunkId(f"c{n:06d}") for n in (0, 2, 9, 7)]
        found = await store.passages(ACME, ids)
        assert found == {r.chunk_id: replace(r.passage, stale=True) for r in (rows[0], rows[2])}
        assert await store.passages(ACME, []) == {}
