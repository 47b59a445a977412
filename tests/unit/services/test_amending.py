"""Amending a document: only what changed is done again."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from advanced_rag.domain.documents import Document, DocumentId
from advanced_rag.exceptions import (
    Conflict,
    EmbeddingGenerationError,
    InsufficientStorage,
    MilvusConnectionError,
    NotFound,
    ValidationError,
)
from advanced_rag.services.amending import AmendingService, Amendment
from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus
from tests.fakes.services import ACME, FakeServices, given, names

KEYS = DocumentId("keys")
TEXT = "\n\n".join(f"Part {number}. " + "word " * 60 for number in range(3))


async def filled(**options: Any) -> FakeServices:
    services = FakeServices()
    await services.ingest(given(TEXT, "keys", title="Keys", metadata={"lang": "en", "note": {"a": 1}}, **options))
    return services


async def amend(services: FakeServices, **changes: Any) -> IngestOutcome:
    return await AmendingService(services.indexing, services.documents).amend(ACME, KEYS, Amendment(**changes))


async def test_new_metadata_embeds_nothing_and_is_filtered_by_at_once() -> None:
    services = await filled()
    encoded = services.encoder.encoded
    before = {row.passage.start: row.vector for row in services.semantic.rows.values()}
    outcome = await amend(services, metadata={"lang": "de", "note": {"b": 2}})
    assert (outcome.status, outcome.version, outcome.chunks) == (IngestStatus.REPLACED, 2, len(before))
    assert services.encoder.encoded == encoded
    after = {row.passage.start: row.vector for row in services.semantic.rows.values() if row.version == 2}
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[start], vector) for start, vector in before.items())
    assert names(await services.retrieve("word", filters={"lang": "de"})) == ["keys"]
    services.clock.advance(61)  # for a grace who asks by what was said before still finds it
    assert names(await services.retrieve("word", filters={"lang": "en"})) == []
    shown = await services.documents.document(ACME, KEYS)
    assert shown is not None
    assert (shown[0].metadata, shown[1]) == ({"lang": "de", "note": {"a": 1, "b": 2}}, TEXT)


async def test_a_new_title_is_embedded_because_it_is_part_of_what_is_embedded() -> None:
    services = await filled()
    encoded = services.encoder.encoded
    await amend(services, title="Schlüssel")
    assert services.encoder.encoded > encoded
    assert {result.passage.title for result in (await services.retrieve("Schlüssel")).results} == {"Schlüssel"}


async def test_what_changes_nothing_is_unchanged() -> None:
    services = await filled()
    outcome = await amend(services, title="Keys", metadata={"lang": "en", "absent": None})
    assert (outcome.status, outcome.version) == (IngestStatus.UNCHANGED, 1)


async def test_into_a_domain_with_an_encoder_and_out_of_it_again() -> None:
    services = await filled()
    encoded = services.encoder.encoded
    await amend(services, domain="legal")
    assert services.encoder.encoded == encoded
    of_the_domain = services.legal_encoder.encoded
    assert of_the_domain > 0
    await amend(services, metadata={"year": 2024})
    assert services.legal_encoder.encoded == of_the_domain
    assert {row.version for row in services.legal.rows.values()} == {2, 3}
    await amend(services, domain="")
    assert {row.version for row in services.legal.rows.values()} == {2, 3}
    assert services.encoder.encoded == encoded


async def test_all_metadata_can_be_taken_away() -> None:
    services = await filled()
    await amend(services, clears_metadata=True)
    shown = await services.documents.document(ACME, KEYS)
    assert shown is not None
    assert shown[0].metadata == {}


async def test_vectors_that_an_index_has_lost_are_made_again() -> None:
    services = await filled()
    services.semantic.rows.clear()
    encoded = services.encoder.encoded
    outcome = await amend(services, metadata={"year": 2024})
    assert services.encoder.encoded == encoded + outcome.chunks
    assert names(await services.retrieve("word")) == ["keys"]


async def test_what_cannot_be_is_refused_before_anything_is_written() -> None:
    services = await filled()
    with pytest.raises(NotFound):
        await AmendingService(services.indexing, services.documents).amend(ACME, DocumentId("none"), Amendment("x"))
    for metadata in ({"year": "2024"}, {"big": "x" * 20_000}, {f"k{number}": 1 for number in range(70)}):
        with pytest.raises(ValidationError):
            await amend(services, metadata=metadata)

    class NoRoom:
        def require(self) -> None:
            raise InsufficientStorage("full")

    object.__setattr__(services.indexing, "room", NoRoom())
    with pytest.raises(InsufficientStorage):
        await amend(services, title="x")
    assert await services.documents.sweepable(grace_s=0, limit=10) == []


@pytest.mark.parametrize("part", ["semantic", "sparse", "encoder"])
async def test_what_fails_is_not_seen_and_is_swept(part: str) -> None:
    services = await filled()
    broken = getattr(services, part)
    broken.error = EmbeddingGenerationError("embedding") if part == "encoder" else MilvusConnectionError("milvus")
    with pytest.raises((EmbeddingGenerationError, MilvusConnectionError)):
        await amend(services, title="Never")
    broken.error = None
    shown = await services.documents.document(ACME, KEYS)
    assert shown is not None
    assert (shown[0].version, shown[0].title) == (1, "Keys")
    assert await services.sweeping.sweep_once() == 1


async def test_another_writer_in_between_is_not_undone() -> None:
    services = await filled()
    stage = services.documents.stage
    others = 0

    class Busy:
        """Before an amendment is flipped somebody else replaces the document, `times` times."""

        def __init__(self, times: int) -> None:
            self.times = times

        def __getattr__(self, name: str) -> Any:
            return getattr(services.documents, name)

        async def activate(self, *args: Any, **options: Any) -> set[DocumentId]:
            nonlocal others
            if self.times:
                self.times -= 1
                others += 1
                drafts = [services.preparation.draft(_document(f"Other text {others}."))]
                await services.documents.activate(ACME, await stage(ACME, drafts, lease_s=60))  # type: ignore[arg-type]
            return await services.documents.activate(*args, **options)

    object.__setattr__(services.indexing, "store", Busy(1))
    outcome = await amend(services, title="Amended")
    shown = await services.documents.document(ACME, KEYS)
    assert shown is not None
    assert (outcome.status, shown[0].title, shown[1]) == (IngestStatus.REPLACED, "Amended", "Other text 1.")
    object.__setattr__(services.indexing, "store", Busy(9))
    with pytest.raises(Conflict):
        await amend(services, title="Amended again")
    shown = await services.documents.document(ACME, KEYS)
    assert shown is not None
    assert shown[1].startswith("Other text")


def _document(text: str) -> Any:
    return Document(KEYS, text)


async def test_two_amendments_at_once_are_both_made() -> None:
    services = await filled()
    await asyncio.gather(amend(services, title="New"), amend(services, metadata={"year": 2024}))
    shown = await services.documents.document(ACME, KEYS)
    assert shown is not None
    assert (shown[0].title, shown[0].metadata["year"]) == ("New", 2024)
