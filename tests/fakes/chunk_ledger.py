"""The ledger over the documents in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advanced_rag.domain.documents import ChunkId, Tenant
from advanced_rag.ports.documents import StagedVersion
from advanced_rag.ports.ledger import LedgerEntry
from tests.fakes.document_store import FakeDocumentStore


@dataclass(slots=True)
class FakeChunkLedger:
    """`ports.ledger.ChunkLedger`. `pages` counts the pages that were asked for."""

    documents: FakeDocumentStore
    pages: int = 0

    async def page(self, after: ChunkId | None, limit: int, *, domain: str | None = None) -> list[LedgerEntry]:
        self.pages += 1
        entries = [
            LedgerEntry(chunk.id, version.state == "active")
            for _, _, version in self._versions(domain)
            for chunk in version.chunks
            if after is None or chunk.id > after
        ]
        return sorted(entries, key=lambda entry: entry.chunk_id)[:limit]

    async def known(self, chunk_ids: Sequence[ChunkId], *, domain: str | None = None) -> set[ChunkId]:
        return {chunk.id for _, _, version in self._versions(domain) for chunk in version.chunks} & set(chunk_ids)

    async def versions(self, chunk_ids: Sequence[ChunkId]) -> list[tuple[Tenant, StagedVersion]]:
        wanted = set(chunk_ids)
        found = []
        for tenant, number, version in self._versions(None):
            chunks = tuple(chunk for chunk in version.chunks if chunk.id in wanted)
            if version.state == "active" and chunks:
                document = replace(version.document, text="")
                found.append((tenant, StagedVersion(document, number, chunks, replaces=False)))
        return found

    def _versions(self, domain: str | None) -> Iterator[tuple[Tenant, int, Any]]:
        for (tenant, _), document in self.documents._documents.items():
            for number, version in document.versions.items():
                if domain is None or version.document.domain == domain:
                    yield tenant, number, version
