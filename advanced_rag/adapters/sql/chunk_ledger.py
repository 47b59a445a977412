"""Every stored chunk by its id, for comparing the indexes with. Each method is one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, and_, select

from advanced_rag.adapters.sql.column_types import AnyRow, among
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.tables import ACTIVE, chunks, document_versions
from advanced_rag.domain.documents import Chunk, ChunkId, Document, Tenant
from advanced_rag.ports.documents import StagedVersion
from advanced_rag.ports.ledger import LedgerEntry

_c, _v = chunks.c, document_versions.c
_CHUNK_OF_VERSION: Final = and_(_c.tenant == _v.tenant, _c.document_id == _v.document_id, _c.version == _v.version)


@dataclass(frozen=True, slots=True)
class SqlChunkLedger:
    """`ports.ledger.ChunkLedger`."""

    pool: DbPool

    async def page(self, after: ChunkId | None, limit: int, *, domain: str | None = None) -> list[LedgerEntry]:
        """In the order of ids, which are compared byte by byte here and in the indexes."""
        statement = _of_domain(select(_c.id, _v.state), domain).where(_c.id > (after or "")).order_by(_c.id)
        async with self.pool.read() as connection:
            rows = (await connection.execute(statement.limit(limit))).all()
        return [LedgerEntry(row.id, row.state == ACTIVE) for row in rows]

    async def known(self, chunk_ids: Sequence[ChunkId], *, domain: str | None = None) -> set[ChunkId]:
        """Stored ones, in whatever state."""
        statement = _of_domain(select(_c.id), domain).where(among(_c.id, chunk_ids))
        async with self.pool.read() as connection:
            return {row.id for row in await connection.execute(statement)}

    async def versions(self, chunk_ids: Sequence[ChunkId]) -> list[tuple[Tenant, StagedVersion]]:
        """The active ones among them, with what their rows are made of."""
        statement = (
            _of_domain(select(chunks, _v.title, _v.domain, _v.metadata), None)
            .where(among(_c.id, chunk_ids), _v.state == ACTIVE)
            .order_by(_c.tenant, _c.document_id, _c.ordinal)
        )
        async with self.pool.read() as connection:
            rows = (await connection.execute(statement)).all()
        found: defaultdict[tuple[Any, ...], list[AnyRow]] = defaultdict(list)
        for row in rows:
            found[row.tenant, row.document_id, row.version].append(row)
        return [(tenant, _version(members)) for (tenant, *_), members in found.items()]


def _of_domain(statement: Select[Any], domain: str | None) -> Select[Any]:
    joined = statement.join_from(chunks, document_versions, _CHUNK_OF_VERSION)
    return joined if domain is None else joined.where(_v.domain == domain)


def _version(rows: Sequence[AnyRow]) -> StagedVersion:
    first = rows[0]
    document = Document(first.document_id, "", first.title, first.domain, first.metadata)
    return StagedVersion(document, first.version, tuple(map(_chunk, rows)), replaces=False)


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
