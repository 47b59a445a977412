"""Indexing over fakes: what an acknowledgement means, and what is left of what failed."""

from __future__ import annotations

from typing import Any

import pytest

from advanced_rag.domain.documents import ChunkId, DocumentId
from advanced_rag.exceptions import (
    DependencyInvalid,
    EmbeddingGenerationError,
    InsufficientStorage,
    MilvusConnectionError,
)
from advanced_rag.services.ingest_outcome import IngestStatus
from tests.fakes.services import ACME, FakeServices, given, names
from tests.fakes.vector_index import FakeVectorIndex

KEYS = DocumentId("keys")


async def test_each_document_gets_its_own_outcome_in_order() -> None:
    services = FakeServices()
    outcomes = await services.ingest(*(given(f"Document number {number}.", f"d{number}") for number in range(7)))
    assert [(outcome.id, outcome.status, outcome.version) for outcome in outcomes] == [
        (f"d{number}", IngestStatus.INDEXED, 1) for number in range(7)
    ]


@pytest.mark.req("R6.6")
async def test_the_same_content_again_costs_no_embedding_and_no_write() -> None:
    services = FakeServices()
    await services.ingest(given("The keys hang in cabinet B.", "keys"))
    encoded, rows = services.encoder.encoded, dict(services.semantic.rows)
    (outcome,) = await services.ingest(given("The keys hang in cabinet B.", "keys"))
    assert outcome.status is IngestStatus.UNCHANGED
    assert (services.encoder.encoded, services.semantic.rows) == (encoded, rows)


async def test_a_document_without_an_id_is_known_again_by_its_content() -> None:
    services = FakeServices()
    (first,) = await services.ingest(given("The keys hang in cabinet B."))
    (second,) = await services.ingest(given("The keys hang in cabinet B."))
    assert (second.id, second.status) == (first.id, IngestStatus.UNCHANGED)


@pytest.mark.parametrize("change", [{"title": "Keys"}, {"domain": "office"}, {"metadata": {"year": 2024}}])
async def test_a_change_of_title_domain_or_metadata_is_a_new_version(change: dict[str, Any]) -> None:
    services = FakeServices()
    await services.ingest(given("The keys hang in cabinet B.", "keys"))
    (outcome,) = await services.ingest(given("The keys hang in cabinet B.", "keys", **change))
    assert (outcome.status, outcome.version) == (IngestStatus.REPLACED, 2)


async def test_of_several_documents_with_one_id_the_last_content_counts() -> None:
    services = FakeServices()
    outcomes = await services.ingest(given("first", "keys"), given("second", "keys"), given("second", "keys"))
    assert [outcome.status for outcome in outcomes] == [
        IngestStatus.SUPERSEDED,
        IngestStatus.INDEXED,
        IngestStatus.UNCHANGED,
    ]
    assert [result.passage.text for result in (await services.retrieve("first second")).results] == ["second"]


@pytest.mark.req("R6.14")
async def test_metadata_of_the_wrong_type_fails_its_document_alone() -> None:
    services = FakeServices()
    bad, good = await services.ingest(given("a", "bad", metadata={"year": "2020"}), given("b", "good"))
    assert bad.error is not None
    assert bad.error.loc == "/metadata/year"
    assert good.status is IngestStatus.INDEXED


@pytest.mark.parametrize("part", ["semantic", "sparse", "encoder"])
@pytest.mark.req("R6.1")
async def test_what_could_not_be_written_everywhere_is_not_acknowledged_and_not_seen(part: str) -> None:
    services = FakeServices()
    await services.ingest(given("The keys hang in cabinet B.", "keys"))
    broken = getattr(services, part)
    broken.error = EmbeddingGenerationError("embedding") if part == "encoder" else MilvusConnectionError("milvus")
    with pytest.raises((EmbeddingGenerationError, MilvusConnectionError)):
        await services.ingest(given("The keys hang in cabinet C.", "keys"))
    broken.error = None
    assert [result.passage.text for result in (await services.retrieve("keys")).results] == [
        "The keys hang in cabinet B."
    ]
    (outcome,) = await services.ingest(given("The keys hang in cabinet C.", "keys"))
    assert outcome.status is IngestStatus.REPLACED


class ForgetfulIndex(FakeVectorIndex):
    """Says that it has written, and has not."""

    async def present(self, chunk_ids: object) -> set[ChunkId]:
        return set()


async def test_rows_that_cannot_be_read_back_are_no_rows() -> None:
    services = FakeServices()
    object.__setattr__(services.indexing, "sparse", ForgetfulIndex())
    with pytest.raises(DependencyInvalid):
        await services.ingest(given("The keys hang in cabinet B.", "keys"))


async def test_a_domain_with_an_encoder_has_its_own_vectors() -> None:
    services = FakeServices()
    await services.ingest(given("A lien is a right.", "lien", domain="legal"), given("Keys.", "keys"))
    assert {row.document_id for row in services.legal.rows.values()} == {"lien"}
    assert {row.vector.shape for row in services.legal.rows.values()} == {(32,)}


@pytest.mark.req("R6.10")
async def test_a_deleted_document_is_gone_at_once_and_its_rows_after_the_sweep() -> None:
    services = FakeServices()
    await services.ingest(given("The keys hang in cabinet B.", "keys"))
    assert await services.indexing.delete(ACME, KEYS)
    assert not await services.indexing.delete(ACME, KEYS)
    assert names(await services.retrieve("keys")) == []
    services.clock.advance(61)
    assert await services.sweeping.sweep_once() == 1
    assert not services.semantic.rows
    assert not services.sparse.rows


@pytest.mark.req("R6.8")
async def test_a_replaced_version_is_swept_only_after_its_grace() -> None:
    services = FakeServices()
    await services.ingest(given("The keys hang in cabinet B.", "keys"))
    await services.ingest(given("The keys hang in cabinet C.", "keys"))
    assert await services.sweeping.sweep_once() == 0
    assert len(services.semantic.rows) == 2
    services.clock.advance(61)
    assert await services.sweeping.sweep_once() == 1
    assert {row.version for row in services.semantic.rows.values()} == {2}
    assert await services.sweeping.sweep_once() == 0


@pytest.mark.req("R6.3")
async def test_a_sweep_that_breaks_off_is_finished_by_the_next() -> None:
    services = FakeServices()
    await services.ingest(given("The keys hang in cabinet B.", "keys"))
    await services.indexing.delete(ACME, KEYS)
    services.clock.advance(61)
    services.sparse.error = MilvusConnectionError("milvus.sparse")
    with pytest.raises(MilvusConnectionError):
        await services.sweeping.sweep_once()
    services.sparse.error = None
    assert await services.sweeping.sweep_once() == 1
    assert not services.sparse.rows


class NoRoom:
    """A full disk."""

    def require(self) -> None:
        raise InsufficientStorage("full")


@pytest.mark.req("R6.13")
async def test_on_a_full_disk_nothing_is_begun_and_reading_goes_on() -> None:
    services = FakeServices()
    await services.ingest(given("The keys hang in cabinet B.", "keys"))
    room = services.indexing.room
    object.__setattr__(services.indexing, "room", NoRoom())
    with pytest.raises(InsufficientStorage):
        await services.ingest(given("The keys hang in cabinet C.", "keys"))
    assert await services.documents.sweepable(grace_s=0, limit=10) == []  # not even a staged version
    assert names(await services.retrieve("keys")) == ["keys"]
    object.__setattr__(services.indexing, "room", room)
    (outcome,) = await services.ingest(given("The keys hang in cabinet C.", "keys"))
    assert (outcome.status, outcome.version) == (IngestStatus.REPLACED, 2)
