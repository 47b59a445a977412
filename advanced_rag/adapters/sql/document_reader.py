"""Documents of record: reading what is visible. Every method is one statement, but for a listing that is filtered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import Select, Text, and_, bindparam, cast, func, or_, select

from advanced_rag.adapters.sql.column_types import AnyRow, among, seconds_from_now
from advanced_rag.adapters.sql.cursors import decoded_cursor, encoded_cursor
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.storable import is_storable
from advanced_rag.adapters.sql.tables import RETIRED, chunks, document_versions, documents
from advanced_rag.domain.documents import Chunk, ChunkId, DocumentId, Metadata, Passage, Tenant
from advanced_rag.ports.documents import ChunkRef, DocumentRecord, Page

_CURSOR_KIND: Final = "documents"
_LOOKED_AT_ONCE: Final = 500
_MAX_LOOKS: Final = 10
_c, _d, _v = chunks.c, documents.c, document_versions.c
_CHUNK_OF_VERSION: Final = and_(_c.tenant == _v.tenant, _c.document_id == _v.document_id, _c.version == _v.version)
_VERSION_OF_DOCUMENT: Final = and_(_v.tenant == _d.tenant, _v.document_id == _d.id)
_RECORD_COLUMNS: Final = (
    _d.id,
    _d.active_version,
    _d.title,
    _d.domain,
    _d.metadata,
    _d.content_hash,
    _d.chunk_count,
    _d.created_at,
    _d.updated_at,
)


@dataclass(frozen=True, slots=True)
class SqlDocumentReader:
    """`ports.documents.DocumentReader`."""

    pool: DbPool

    async def visible(
        self, tenant: Tenant, candidates: Sequence[ChunkRef], *, grace_s: float
    ) -> dict[ChunkId, Passage]:
        """The passages that a reader may see now; see the port."""
        if not candidates:
            return {}
        ids = [candidate.chunk_id for candidate in candidates]
        async with self.pool.read() as connection:
            found = await connection.execute(VISIBLE, {"tenant": tenant, "ids": ids, "after_s": -grace_s})
            rows = found.all()
        parsed = cache(json.loads)  # most chunks share their document's metadata with others
        return {row.id: _passage(row, parsed(row.metadata)) for row in rows}

    async def document(self, tenant: Tenant, document_id: DocumentId) -> tuple[DocumentRecord, str] | None:
        """The active version and its whole text."""
        if not is_storable(document_id):
            return None
        statement = (
            select(*_RECORD_COLUMNS, _v.text)
            .join_from(documents, document_versions, and_(_VERSION_OF_DOCUMENT, _v.version == _d.active_version))
            .where(_d.tenant == tenant, _d.id == document_id)
        )
        async with self.pool.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else (_record(row), row.text)

    async def documents(
        self,
        tenant: Tenant,
        *,
        limit: int,
        cursor: str | None = None,
        domain: str | None = None,
        admits: Callable[[DocumentRecord], bool] | None = None,
    ) -> Page[DocumentRecord]:
        """Active documents by id. `admits` is asked of 5,000 a page at most, so that no page takes for ever."""
        statement = select(*_RECORD_COLUMNS).where(_d.tenant == tenant, _d.active_version.is_not(None)).order_by(_d.id)
        after = "" if cursor is None else str(decoded_cursor(_CURSOR_KIND, cursor, (str,))[0])
        if domain is not None:
            if not is_storable(domain):
                return Page((), None)
            statement = statement.where(_d.domain == domain)
        kept: list[DocumentRecord] = []
        at_once = limit + 1 if admits is None else _LOOKED_AT_ONCE
        for _ in range(_MAX_LOOKS):
            async with self.pool.read() as connection:
                rows = (await connection.execute(statement.where(_d.id > after).limit(at_once))).all()
            for record in map(_record, rows):
                if admits is not None and not admits(record):
                    after = record.id
                    continue
                if len(kept) == limit:
                    return Page(tuple(kept), encoded_cursor(_CURSOR_KIND, (after,)))
                kept.append(record)
                after = record.id
            if len(rows) < at_once:
                return Page(tuple(kept), None)
        return Page(tuple(kept), encoded_cursor(_CURSOR_KIND, (after,)))

    async def existing(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> set[DocumentId]:
        """Those that have an active version."""
        own = (_d.tenant == tenant, among(_d.id, filter(is_storable, document_ids)), _d.active_version.is_not(None))
        async with self.pool.read() as connection:
            return {row.id for row in await connection.execute(select(_d.id).where(*own))}

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> list[Chunk] | None:
        """The active version's chunks in order, or None where there is no such document."""
        if not is_storable(document_id):
            return None
        own = and_(_c.tenant == _d.tenant, _c.document_id == _d.id, _c.version == _d.active_version)
        statement = (
            select(_d.id.label("document"), chunks)
            .join_from(documents, chunks, own, isouter=True)
            .where(_d.tenant == tenant, _d.id == document_id, _d.active_version.is_not(None))
            .order_by(_c.ordinal)
        )
        async with self.pool.read() as connection:
            rows = (await connection.execute(statement)).all()
        if not rows:
            return None
        return [_chunk(row) for row in rows if row.id is not None]


def _visible() -> Select[Any]:
    """Which of the chunks `ids` a reader may see, with what is shown of them.

    An active version is always higher than those that it replaced, so the highest readable version among a document's
    candidates is the active one if any candidate has it.
    """
    readable = or_(
        _v.version == _d.active_version,
        and_(_v.state == RETIRED, _v.retired_at > seconds_from_now("after_s")),
    )
    found = (
        select(
            *(_c.id, _c.document_id, _c.version, _v.title, _v.domain, _c.text, _c.start, _c.end, _c.heading),
            cast(_v.metadata, Text).label("metadata"),
            func.max(_c.version).over(partition_by=_c.document_id).label("highest"),
        )
        .join_from(chunks, document_versions, _CHUNK_OF_VERSION)
        .join(documents, _VERSION_OF_DOCUMENT)
        .where(_c.tenant == bindparam("tenant"), among(_c.id, "ids"), readable, _d.deleted_at.is_(None))
        .subquery()
    )
    return select(found).where(found.c.version == found.c.highest)


# Built once: to put such a statement together takes longer than the database takes to answer it.
VISIBLE: Final = _visible()


def _passage(row: AnyRow, metadata: Metadata) -> Passage:
    return Passage(
        chunk_id=row.id,
        document_id=row.document_id,
        version=row.version,
        title=row.title,
        domain=row.domain,
        text=row.text,
        start=row.start,
        end=row.end,
        heading=row.heading,
        metadata=metadata,
    )


def _record(row: AnyRow) -> DocumentRecord:
    return DocumentRecord(
        id=row.id,
        version=row.active_version,
        title=row.title,
        domain=row.domain,
        metadata=row.metadata,
        content_hash=row.content_hash,
        chunk_count=row.chunk_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _chunk(row: AnyRow) -> Chunk:
    return Chunk(
        id=row.id,
        document_id=row.document_id,
        version=row.version,
        ordinal=row.ordinal,
        text=row.text,
        start=row.start,
        end=row.end,
        heading=row.heading,
        token_count=row.token_count,
    )
