"""Looking at what is stored."""

from __future__ import annotations

from dataclasses import dataclass

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.exceptions import NotFound
from advanced_rag.ports.documents import DocumentReader, DocumentRecord, Page


@dataclass(frozen=True, slots=True)
class DocumentsService:
    """Documents of a tenant, as they stand."""

    reader: DocumentReader

    async def document(self, tenant: Tenant, document_id: DocumentId) -> tuple[DocumentRecord, str]:
        """The record and the whole text. Raises NotFound."""
        found = await self.reader.document(tenant, document_id)
        if found is None:
            raise NotFound("there is no such document")
        return found

    async def documents(
        self, tenant: Tenant, *, limit: int, cursor: str | None = None, domain: str | None = None
    ) -> Page[DocumentRecord]:
        """A page of them by id."""
        return await self.reader.documents(tenant, limit=limit, cursor=cursor, domain=domain)
