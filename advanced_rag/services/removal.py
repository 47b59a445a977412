"""Deleting documents by their ids or by a filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.domain.filters import Constant
from advanced_rag.exceptions import ValidationError
from advanced_rag.ports.documents import DocumentStore
from advanced_rag.services.documents import DocumentsService
from advanced_rag.services.version_map import VersionMap

_PAGE: Final = 500
_ALL = Constant(value=True)


@dataclass(frozen=True, slots=True)
class RemovalService:
    """Once a call has returned nobody sees the documents; their rows follow with the sweep."""

    documents: DocumentsService
    store: DocumentStore
    versions: VersionMap

    async def by_ids(self, tenant: Tenant, document_ids: Sequence[DocumentId], *, dry_run: bool) -> int:
        """How many of these there were; ids that there are not are no error."""
        if dry_run:
            return len(await self.documents.existing(tenant, document_ids))
        return await self._delete(tenant, list(dict.fromkeys(document_ids)))

    async def by_filter(self, tenant: Tenant, filters: object, *, domain: str | None, dry_run: bool) -> int:
        """How many matched when they were looked at. Interrupted, it has deleted some; repeating it goes on.

        Raises ValidationError: `/filters` is not a filter, or holds for every document.
        """
        if self.documents.parsed(filters) == _ALL:
            raise ValidationError.of("/filters", "empty", "It must not admit every document.")
        count, cursor = 0, None
        while True:
            page = await self.documents.documents(tenant, limit=_PAGE, cursor=cursor, domain=domain, filters=filters)
            ids = [record.id for record in page.items]
            count += len(ids) if dry_run else await self._delete(tenant, ids)
            cursor = page.next_cursor
            if cursor is None:
                return count

    async def _delete(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> int:
        deleted = await self.store.delete_all(tenant, document_ids) if document_ids else set()
        for document_id in deleted:
            self.versions.saw_deleted(tenant, document_id)
        return len(deleted)
