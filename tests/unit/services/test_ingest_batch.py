"""One outcome a document, in the order of the request."""

from __future__ import annotations

import pytest

from advanced_rag.domain.documents import Document, DocumentId, Tenant
from advanced_rag.exceptions import (
    DependencyTimeout,
    DependencyUnavailable,
    InsufficientStorage,
    PoolExhausted,
    ValidationError,
)
from advanced_rag.ports.documents import StagedVersion, Unchanged
from advanced_rag.services.ingest_batch import IngestBatch, Item
from advanced_rag.services.ingest_outcome import IngestStatus


def item(position: int, name: str = "keys") -> Item:
    return Item(position, Document(DocumentId(name), "text"), f"hash of {name}")


def staged(of: Item, version: int = 1, *, replaces: bool = False) -> StagedVersion:
    return StagedVersion(of.document, version, (), replaces)


@pytest.mark.req("R6.14")
def test_outcomes_stand_in_the_order_of_the_request() -> None:
    batch = IngestBatch(Tenant("acme"), 4)
    new, old, lost = item(0, "new"), item(1, "old"), item(3, "lost")
    batch.fail(2, DocumentId("bad"), ValidationError.of("/metadata/year", "wrong-type", "must be an int"))
    batch.activated(
        [new, old, lost],
        [staged(new), staged(old, 7, replaces=True), staged(lost, 2)],
        {new.document.id, old.document.id},
    )
    assert [(outcome.id, outcome.status, outcome.version) for outcome in batch.outcomes()] == [
        ("new", IngestStatus.INDEXED, 1),
        ("old", IngestStatus.REPLACED, 7),
        ("bad", IngestStatus.FAILED, None),
        ("lost", IngestStatus.SUPERSEDED, 2),
    ]
    batch.raise_if_nothing_was_done()


def test_a_bad_field_is_named_and_a_failed_dependency_may_be_tried_again() -> None:
    batch = IngestBatch(Tenant("acme"), 4)
    batch.fail(0, DocumentId("a"), ValidationError.of("/metadata/year", "wrong-type", "must be an int"))
    batch.fail(1, DocumentId("b"), PoolExhausted("no connection"))
    batch.fail(2, DocumentId("c"), DependencyUnavailable("database", transient=False))
    late = DependencyTimeout("database", limit_s=5.0)
    late.transient = False  # not tried again by us, but the caller may
    batch.fail(3, DocumentId("d"), late)
    errors = [outcome.error for outcome in batch.outcomes()]
    assert [(error.code, error.loc, error.retryable) for error in errors if error] == [
        ("wrong-type", "/metadata/year", False),
        ("overloaded", None, True),
        ("dependency-unavailable", None, False),
        ("dependency-unavailable", None, True),
    ]
    batch.raise_if_nothing_was_done()  # one of them failed by its own fault: the others are told one by one


def test_when_a_dependency_failed_every_document_the_request_failed() -> None:
    batch = IngestBatch(Tenant("acme"), 2)
    for position in range(2):
        batch.fail(position, DocumentId(str(position)), InsufficientStorage("full"))
    with pytest.raises(InsufficientStorage):
        batch.raise_if_nothing_was_done()


def test_a_copy_is_unchanged_and_an_earlier_content_of_the_same_id_superseded() -> None:
    batch = IngestBatch(Tenant("acme"), 3)
    first, last = item(0), item(2)
    batch.copied(first, 1)
    batch.replaced(first, by=2)
    batch.activated([last], [staged(last, 3)], {last.document.id})
    assert [(outcome.status, outcome.version) for outcome in batch.outcomes()] == [
        (IngestStatus.SUPERSEDED, 3),
        (IngestStatus.SUPERSEDED, 3),
        (IngestStatus.INDEXED, 3),
    ]


def test_a_copy_of_what_was_indexed_is_unchanged() -> None:
    batch = IngestBatch(Tenant("acme"), 2)
    first = item(0)
    batch.copied(first, 1)
    batch.activated([first], [staged(first)], {first.document.id})
    assert [outcome.status for outcome in batch.outcomes()] == [IngestStatus.INDEXED, IngestStatus.UNCHANGED]


def test_what_is_stored_already_is_unchanged() -> None:
    batch = IngestBatch(Tenant("acme"), 1)
    batch.unchanged([item(0)], {DocumentId("keys"): Unchanged(DocumentId("keys"), 4, 9)})
    (outcome,) = batch.outcomes()
    assert (outcome.status, outcome.version, outcome.chunks) == (IngestStatus.UNCHANGED, 4, 9)
