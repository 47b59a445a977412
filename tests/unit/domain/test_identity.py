"""Ids that are made, not drawn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.domain.documents import Document, DocumentId, Tenant
from advanced_rag.domain.identity import chunk_id, content_hash, document_hash, document_id

texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(texts, texts, texts, texts)
def test_where_one_part_ends_and_the_next_begins_matters(a: str, b: str, c: str, d: str) -> None:
    first = content_hash(text=a, title=b, domain="", metadata={})
    second = content_hash(text=c, title=d, domain="", metadata={})
    assert (first == second) is ((a, b) == (c, d))


def test_the_order_of_metadata_keys_does_not_matter() -> None:
    document = Document(DocumentId("d"), "text", metadata={"a": 1, "b": [2, {"c": None}]})
    turned = Document(DocumentId("other"), "text", metadata={"b": [2, {"c": None}], "a": 1})
    assert document_hash(document) == document_hash(turned)


def test_all_that_a_reader_sees_is_in_the_content_hash() -> None:
    hashes = {
        content_hash(text="t", title="", domain="", metadata={}),
        content_hash(text="", title="t", domain="", metadata={}),
        content_hash(text="", title="", domain="t", metadata={}),
        content_hash(text="", title="", domain="", metadata={"t": 1}),
    }
    assert len(hashes) == 4


def test_ids_differ_by_tenant_document_version_and_place() -> None:
    acme, globex = Tenant("acme"), Tenant("globex")
    document = DocumentId("d")
    ids = {
        chunk_id(acme, document, 1, 0),
        chunk_id(globex, document, 1, 0),
        chunk_id(acme, DocumentId("e"), 1, 0),
        chunk_id(acme, document, 2, 0),
        chunk_id(acme, document, 1, 1),
    }
    assert len(ids) == 5
    assert chunk_id(acme, document, 1, 0) == chunk_id(acme, document, 1, 0)
    assert document_id(acme, "x") != document_id(globex, "x")
    assert all(len(each) <= 128 for each in ids)
