"""Which cited documents are still there, in memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.ports.documents import DocumentReader


@dataclass(frozen=True, slots=True)
class FakeCitedDocuments:
    """`ports.conversations.CitedDocuments` over a reader, such as the fake one."""

    reader: DocumentReader

    async def created(self, tenant: Tenant, document_ids: Collection[DocumentId]) -> dict[DocumentId, datetime]:
        found = {document_id: await self.reader.document(tenant, document_id) for document_id in document_ids}
        return {document_id: entry[0].created_at for document_id, entry in found.items() if entry is not None}
