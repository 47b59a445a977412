"""Amending a document: another title, domain or other metadata over the same text.

It is a new version like any other. What has not changed is not done again: without a new title every chunk and every
vector stays as it is, so the vectors are taken from the version before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from advanced_rag.constants import MAX_METADATA_BYTES, MAX_METADATA_KEYS
from advanced_rag.domain.documents import Chunk, ChunkId, ChunkSpan, Document, DocumentId, Metadata, Tenant, Vector
from advanced_rag.domain.merge_patch import merge_patched
from advanced_rag.exceptions import Conflict, DeadlineExceeded, DependencyError, LoadShed, NotFound, ValidationError
from advanced_rag.ports.documents import DocumentReader, DocumentRecord, Draft, StagedVersion, Unchanged
from advanced_rag.ports.indexes import VectorIndex
from advanced_rag.services.batch_encoding import encoded_in_batches
from advanced_rag.services.indexing import IndexingService
from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus
from advanced_rag.services.lane_search import DenseLane
from advanced_rag.services.preparation import GivenDocument, PreparedVersion
from advanced_rag.services.row_writing import write_rows

_ATTEMPTS: Final = 3  # as often others may change the document meanwhile


@dataclass(frozen=True, slots=True)
class Amendment:
    """What is to change; None stays as it is. `metadata` is a merge patch (RFC 7396): null takes a member away.

    `clears_metadata` takes all of it away first.
    """

    title: str | None = None
    domain: str | None = None
    metadata: Mapping[str, Any] | None = None
    clears_metadata: bool = False


@dataclass(frozen=True, slots=True)
class AmendingService:
    """Changes what is said of a document, over the parts that `indexing` is made of."""

    indexing: IndexingService
    reader: DocumentReader

    async def amend(self, tenant: Tenant, document_id: DocumentId, amendment: Amendment) -> IngestOutcome:
        """`replaced` or `unchanged`. The amendment is made to the version that is active when it becomes visible.

        Raises:
            NotFound, ValidationError, InsufficientStorage: nothing was written.
            Conflict: others kept on changing the document.
            LoadShed, DependencyError, DeadlineExceeded: nothing is visible.
        """
        for _ in range(_ATTEMPTS):
            outcome = await self._attempt(tenant, document_id, amendment)
            if outcome is not None:
                return outcome
        raise Conflict("The document was changed by others at the same time.")

    async def _attempt(self, tenant: Tenant, document_id: DocumentId, amendment: Amendment) -> IngestOutcome | None:
        """None: the document got another version meanwhile."""
        found = await self.reader.document(tenant, document_id)
        if found is None:
            raise NotFound("There is no such document.")
        record, text = found
        given = _amended(record, text, amendment)
        document, content = await self.indexing.workers.run(lambda: self._checked(tenant, given))
        if content == record.content_hash:
            return IngestOutcome(document_id, IngestStatus.UNCHANGED, record.version, record.chunk_count)
        kept = await self._kept_chunks(tenant, record) if document.title == record.title else None
        draft = await self.indexing.workers.run(lambda: self._draft(document, content, kept))
        (entry,) = await self.indexing.store.stage(tenant, [draft], lease_s=self.indexing.values.lease_s)
        if isinstance(entry, Unchanged):
            return IngestOutcome(document_id, IngestStatus.UNCHANGED, entry.version, entry.chunk_count)
        staged = replace(entry, amends=record.version)
        try:
            return await self._through(tenant, staged, record, kept)
        except (DependencyError, LoadShed, DeadlineExceeded, TimeoutError):
            await self._abandon(tenant, staged)
            raise

    def _checked(self, tenant: Tenant, given: GivenDocument) -> tuple[Document, str]:
        self.indexing.room.require()
        size = len(json.dumps(given.metadata, ensure_ascii=False, separators=(",", ":")).encode())
        if len(given.metadata) > MAX_METADATA_KEYS or size > MAX_METADATA_BYTES:
            raise ValidationError.of("/metadata", "too-large", "The metadata would become too large.")
        return self.indexing.preparation.identified(tenant, given)

    async def _kept_chunks(self, tenant: Tenant, record: DocumentRecord) -> list[Chunk] | None:
        chunks = await self.reader.chunks(tenant, record.id)
        same = chunks is not None and all(chunk.version == record.version for chunk in chunks)
        return chunks if same and chunks else None

    def _draft(self, document: Document, content: str, kept: Sequence[Chunk] | None) -> Draft:
        if kept is None:
            return self.indexing.preparation.draft(document)
        spans = (ChunkSpan(chunk.start, chunk.end, chunk.heading, chunk.token_count) for chunk in kept)
        return Draft(document, content, tuple(spans))

    async def _through(
        self, tenant: Tenant, staged: StagedVersion, before: DocumentRecord, kept: Sequence[Chunk] | None
    ) -> IngestOutcome | None:
        indexing, document = self.indexing, staged.document
        prepared = await indexing.workers.run(lambda: indexing.preparation.analysed(staged))
        ids = [chunk.id for chunk in kept or ()]
        await self._write(tenant, prepared, indexing.semantic, ids, also=(indexing.sparse,))
        if (lane := indexing.domains.get(document.domain)) is not None:
            await self._write(tenant, prepared, lane, ids if document.domain == before.domain else ())
        if document.id not in await indexing.store.activate(tenant, [staged]):
            return None
        indexing.versions.saw(tenant, document.id, staged.version)
        return IngestOutcome(document.id, IngestStatus.REPLACED, staged.version, len(staged.chunks))

    async def _write(
        self,
        tenant: Tenant,
        prepared: PreparedVersion,
        lane: DenseLane,
        kept: Sequence[ChunkId],
        also: Sequence[VectorIndex] = (),
    ) -> None:
        stored = await lane.index.vectors(kept) if kept else {}
        vectors: Sequence[Vector] = [stored[chunk_id] for chunk_id in kept if chunk_id in stored]
        if len(vectors) != len(prepared.texts):
            batch = self.indexing.values.encode_batch
            vectors = list(await encoded_in_batches(lane.encoder, prepared.texts, batch))
        await write_rows(tenant, [prepared], vectors, (lane.index, *also))

    async def _abandon(self, tenant: Tenant, staged: StagedVersion) -> None:
        try:
            await self.indexing.store.abandon(tenant, [staged])
        except (DependencyError, LoadShed, DeadlineExceeded):
            return  # its lease ends by itself, the sweep follows


def _amended(record: DocumentRecord, text: str, amendment: Amendment) -> GivenDocument:
    metadata: Metadata = {} if amendment.clears_metadata else record.metadata
    if amendment.metadata is not None:
        metadata = merge_patched(metadata, amendment.metadata)
    return GivenDocument(
        text=text,
        id=record.id,
        title=record.title if amendment.title is None else amendment.title,
        domain=record.domain if amendment.domain is None else amendment.domain,
        metadata=metadata,
    )
