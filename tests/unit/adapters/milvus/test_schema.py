from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.adapters.milvus.dialect import EMBEDDED, SERVER
from advanced_rag.adapters.milvus.schema import DenseLayout, SparseLayout, indexed_fields
from advanced_rag.adapters.milvus.vector_index import UpsertLimits, batches
from advanced_rag.domain.documents import Terms
from advanced_rag.exceptions import DependencyInvalid
from tests.contracts.vector_index import DIMENSION, FIELDS, row, unit

DENSE = DenseLayout(DIMENSION, FIELDS)
SPARSE = SparseLayout(FIELDS)
MAX_BYTES = 65_535


def test_an_absent_field_is_its_types_zero_and_says_so() -> None:
    written = DENSE.row(row(1, fields={"lang": "", "tags": ("a",)}), name="milvus.semantic")
    assert (written["lang"], written["lang__set"]) == ("", True)
    assert (written["tags"], written["tags__set"]) == (["a"], True)
    assert (written["codes"], written["codes__set"]) == ([], False)
    assert (written["price"], written["price__set"]) == (0.0, False)
    assert (written["open"], written["open__set"]) == (False, False)


def test_a_row_is_whole_in_both_lanes() -> None:
    for layout in (DENSE, SPARSE):
        written = layout.row(row(1), name="milvus")
        computed = {"vector"} if layout is SPARSE else set()  # BM25's own output
        declared = {field.name for field in layout.schema(EMBEDDED).fields}
        assert set(written) == declared - computed


def test_only_a_server_gets_a_partition_key_and_indexes_on_arrays() -> None:
    for layout in (DENSE, SPARSE):
        for dialect, expected in ((EMBEDDED, []), (SERVER, ["tenant"])):
            keys = [field.name for field in layout.schema(dialect).fields if field.is_partition_key]
            assert keys == expected
    assert "tags" in indexed_fields(FIELDS, SERVER)
    assert "tags" not in indexed_fields(FIELDS, EMBEDDED)
    assert {"tenant", "document_id", "domain", "year", "tags__set"} <= set(indexed_fields(FIELDS, EMBEDDED))


@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1), max_size=20))
def test_terms_and_texts_fit_and_the_last_term_is_whole(words: list[str]) -> None:
    many = words * 2_000
    stored = row(1, terms=" ".join(many))
    written = SPARSE.row(replace(stored, passage=replace(stored.passage, text="ü".join(many))), name="milvus")
    assert len(written["terms"].encode()) <= MAX_BYTES
    assert len(written["text"].encode()) <= MAX_BYTES
    kept = written["terms"].split(" ") if written["terms"] else []
    assert kept == many[: len(kept)]
    assert "ü".join(many).startswith(written["text"])


def test_a_single_term_beyond_the_bound_is_left_out() -> None:
    assert SPARSE.row(row(1, terms="x" * 70_000), name="milvus")["terms"] == ""


def test_each_lane_is_searched_by_its_own_kind_of_probe() -> None:
    with pytest.raises(DependencyInvalid):
        SPARSE.probe(unit(1.0), name="milvus.sparse")
    with pytest.raises(DependencyInvalid):
        DENSE.probe(Terms("word"), name="milvus.semantic")
    assert SPARSE.probe(Terms(" "), name="milvus.sparse") is None


@given(
    sizes=st.lists(st.integers(0, 400), max_size=60),
    limits=st.builds(UpsertLimits, rows=st.integers(1, 10), bytes=st.integers(1, 1_000)),
)
def test_batches_keep_every_row_in_order_within_both_bounds(sizes: list[int], limits: UpsertLimits) -> None:
    rows = [{"id": str(n), "text": "x" * size} for n, size in enumerate(sizes)]
    cut = list(batches(rows, limits))
    assert [one for batch in cut for one in batch] == rows
    for batch in cut:
        assert 1 <= len(batch) <= limits.rows
        assert len(batch) == 1 or sum(len(one["text"]) for one in batch) <= limits.bytes
