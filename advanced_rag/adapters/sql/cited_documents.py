"""Which of the documents that messages cite are still there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select

from advanced_rag.adapters.sql.column_types import among
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.tables import documents
from advanced_rag.domain.documents import DocumentId, Tenant

_d = documents.c
# Built once: to put such a statement together takes longer than the database takes to answer it.
_CREATED: Final = select(_d.id, _d.created_at).where(
    _d.tenant == bindparam("tenant"), among(_d.id, "ids"), _d.active_version.is_not(None)
)


@dataclass(frozen=True, slots=True)
class SqlCitedDocuments:
    """`ports.conversations.CitedDocuments`. One statement."""

    pool: DbPool

    async def created(self, tenant: Tenant, document_ids: Collection[DocumentId]) -> dict[DocumentId, datetime]:
        """Since when each of these that is there has been there."""
        if not document_ids:
            return {}
        async with self.pool.read() as connection:
            found = await connection.execute(_CREATED, {"tenant": tenant, "ids": list(document_ids)})
            return {DocumentId(row.id): row.created_at for row in found}
