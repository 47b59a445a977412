"""Documents of record: finding and removing versions that nobody may read any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from advanced_rag.adapters.sql.column_types import AnyRow, among, seconds_from_now
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.tables import ACTIVE, CONDEMNED, RETIRED, STAGED, chunks, document_versions
from advanced_rag.domain.documents import ChunkId
from advanced_rag.ports.documents import RetiredVersion

_v = document_versions.c
_KEY: Final = (_v.tenant, _v.document_id, _v.version)
_OLDEST_FIRST: Final = (_v.created_at, *_KEY)


@dataclass(frozen=True, slots=True)
class SqlVersionSweep:
    """`ports.documents.VersionSweep`.

    A version is condemned in the very transaction that finds it: from then on no slow writer can activate what the
    sweep is removing from the indexes. It stays listed until it is purged, so a sweep that was killed is repeated.
    """

    pool: DbPool

    async def sweepable(self, *, grace_s: float, limit: int) -> list[RetiredVersion]:
        """Condemn what is over, and list what is condemned, oldest first."""
        condemned = select(*_KEY).where(_v.state == CONDEMNED).order_by(*_OLDEST_FIRST).limit(limit)
        async with self.pool.write() as connection:
            await connection.execute(_condemnation(grace_s=grace_s, limit=limit))
            versions = (await connection.execute(condemned)).all()
            ids = await _chunk_ids(connection, versions)
        return [
            RetiredVersion(tenant, document_id, version, tuple(ids[tenant, document_id, version]))
            for tenant, document_id, version in versions
        ]

    async def purge(self, versions: Sequence[RetiredVersion]) -> None:
        """Remove condemned versions; their chunks go with them."""
        ordered = sorted(versions, key=lambda version: (version.tenant, version.document_id, version.version))
        keys = [
            {"of_tenant": version.tenant, "of_document": version.document_id, "of_version": version.version}
            for version in ordered
        ]
        if keys:
            async with self.pool.write() as connection:
                await connection.execute(_PURGE, keys)


def _condemnation(*, grace_s: float, limit: int) -> Any:
    over = or_(
        and_(_v.state == STAGED, _v.lease_until <= seconds_from_now(0)),
        and_(_v.state == RETIRED, _v.retired_at <= seconds_from_now(-grace_s)),
    )
    chosen = (
        select(*_KEY)
        .where(_v.state != ACTIVE, over)
        .order_by(*_OLDEST_FIRST)
        .limit(limit)
        .with_for_update(skip_locked=True)  # what an activation has locked is about to be something else
    )
    return update(document_versions).where(tuple_(*_KEY).in_(chosen)).values(state=CONDEMNED, lease_until=None)


async def _chunk_ids(
    connection: AsyncConnection, versions: Sequence[AnyRow]
) -> defaultdict[tuple[str, str, int], list[ChunkId]]:
    c = chunks.c
    query = (
        select(c.tenant, c.document_id, c.version, c.id)
        .where(
            among(c.tenant, {row.tenant for row in versions}),
            among(c.document_id, {row.document_id for row in versions}),
        )
        .order_by(c.ordinal)
    )
    found: defaultdict[tuple[str, str, int], list[ChunkId]] = defaultdict(list)
    for row in await connection.execute(query):
        found[row.tenant, row.document_id, row.version].append(row.id)
    return found


_PURGE: Final = delete(document_versions).where(
    _v.tenant == bindparam("of_tenant"),
    _v.document_id == bindparam("of_document"),
    _v.version == bindparam("of_version"),
    _v.state == CONDEMNED,
)
