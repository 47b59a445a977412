"""Looking at what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from advanced_rag.domain.documents import Chunk, DocumentId, Tenant
from advanced_rag.domain.filter_fields import readable_field_values
from advanced_rag.domain.filter_matching import matches
from advanced_rag.domain.filter_parser import parse_filter
from advanced_rag.domain.filters import DeclaredFields, Filter
from advanced_rag.exceptions import NotFound
from advanced_rag.ports.documents import DocumentReader, DocumentRecord, Page


@dataclass(frozen=True, slots=True)
class DocumentsService:
    """Documents of a tenant, as they stand."""

    reader: DocumentReader
    declared: DeclaredFields = field(default_factory=dict)

    async def document(self, tenant: Tenant, document_id: DocumentId) -> tuple[DocumentRecord, str]:
        """The record and the whole text. Raises NotFound."""
        found = await self.reader.document(tenant, document_id)
        if found is None:
            raise NotFound("there is no such document")
        return found

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> list[Chunk]:
        """The pieces that its active version is searched by, in order. Raises NotFound."""
        found = await self.reader.chunks(tenant, document_id)
        if found is None:
            raise NotFound("There is no such document.")
        return found

    async def documents(
        self,
        tenant: Tenant,
        *,
        limit: int,
        cursor: str | None = None,
        domain: str | None = None,
        filters: object | None = None,
    ) -> Page[DocumentRecord]:
        """A page of them by id. With a filter it may be short, even empty, although more follow.

        Raises ValidationError (`/filters`, `/cursor`).
        """
        if filters is None:
            return await self.reader.documents(tenant, limit=limit, cursor=cursor, domain=domain)
        where = self.parsed(filters)

        def admits(record: DocumentRecord) -> bool:
            values = readable_field_values(record.metadata, self.declared)
            return matches(where, {**values, "document_id": record.id, "domain": record.domain})

        return await self.reader.documents(tenant, limit=limit, cursor=cursor, domain=domain, admits=admits)

    async def existing(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> set[DocumentId]:
        """Those that there are."""
        return await self.reader.existing(tenant, document_ids)

    def parsed(self, filters: object) -> Filter:
        """Raises ValidationError (`/filters`)."""
        return parse_filter(filters, self.declared)
