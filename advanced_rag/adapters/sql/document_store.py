"""Documents of record: writing versions.

Row locks are always taken in the order of document ids, first `documents`, then `document_versions`, so that no two of
these transactions can wait for each other. SQLite has one writer at a time, and needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, bindparam, case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from advanced_rag.adapters.sql.column_types import AnyRow, among, database_now, seconds_from_now
from advanced_rag.adapters.sql.commit_notes import write_note
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.storable import is_storable, refuse_unstorable
from advanced_rag.adapters.sql.tables import ACTIVE, CONDEMNED, RETIRED, STAGED, chunks, document_versions, documents
from advanced_rag.adapters.sql.upsert import upsert
from advanced_rag.domain.documents import Chunk, DocumentId, Tenant
from advanced_rag.domain.identity import chunk_id
from advanced_rag.exceptions import Conflict
from advanced_rag.ports.commits import NoteOfFlip
from advanced_rag.ports.documents import Draft, StagedVersion, Unchanged

_NO_METADATA: Final[dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class SqlDocumentStore:
    """`ports.documents.DocumentStore`. Each method is one transaction, and may be run again."""

    pool: DbPool

    async def stage(
        self, tenant: Tenant, drafts: Sequence[Draft], *, lease_s: float
    ) -> list[StagedVersion | Unchanged]:
        """Number, and store invisibly; see the port. A number may be skipped, never given twice."""
        for draft in drafts:
            _refuse_unstorable(tenant, draft)
        if not drafts:
            return []
        async with self.pool.write() as connection:
            numbered = await _number(connection, tenant, drafts)
            stored = [_stored(tenant, draft, numbered[draft.document.id]) for draft in drafts]
            fresh = [
                (draft, entry) for draft, entry in zip(drafts, stored, strict=True) if isinstance(entry, StagedVersion)
            ]
            if fresh:
                await connection.execute(
                    _INSERT_VERSION, [_version_row(tenant, draft, entry, lease_s) for draft, entry in fresh]
                )
            chunk_rows = [_chunk_row(tenant, chunk) for _, entry in fresh for chunk in entry.chunks]
            if chunk_rows:
                await connection.execute(insert(chunks), chunk_rows)
        return stored

    async def unchanged(self, tenant: Tenant, hashes: Mapping[DocumentId, str]) -> dict[DocumentId, Unchanged]:
        """Those whose active version has this very content hash."""
        d = documents.c
        query = select(d.id, d.active_version, d.content_hash, d.chunk_count).where(
            d.tenant == tenant, among(d.id, filter(is_storable, hashes)), d.active_version.is_not(None)
        )
        async with self.pool.read() as connection:
            rows = (await connection.execute(query)).all()
        return {
            row.id: Unchanged(row.id, row.active_version, row.chunk_count)
            for row in rows
            if row.content_hash == hashes[row.id]
        }

    async def activate(
        self, tenant: Tenant, staged: Sequence[StagedVersion], *, also: NoteOfFlip | None = None
    ) -> set[DocumentId]:
        """Flip, only ever forward; see the port.

        Raises:
            LeaseLost: what else was to be committed is no longer the caller's to say. Nothing was flipped.
            Conflict: the lease of one ended and the sweep has begun to remove it, though no higher version took its
                place and nobody deleted the document. Nothing was flipped.
        """
        wanted = {entry.document.id: entry.version for entry in sorted(staged, key=lambda entry: entry.version)}
        amended = {entry.document.id: entry.amends for entry in staged if entry.amends is not None}
        if not wanted:
            return set()
        async with self.pool.write() as connection:
            actives = await _locked_documents(connection, tenant, wanted)
            states = await _locked_states(connection, tenant, wanted)
            flips = _Flips.sorted_out(wanted, amended, actives, states)
            await _flip(connection, tenant, flips, actives)
            flipped = set(flips.forward) | flips.done
            if also is not None:
                await write_note(connection, also(flipped))
        return flipped

    async def renew(self, tenant: Tenant, staged: Sequence[StagedVersion], *, lease_s: float) -> None:
        """Keep the sweep away from these staged versions for `lease_s` seconds from now."""
        keys = _keys(tenant, ((entry.document.id, entry.version) for entry in staged))
        if keys:
            async with self.pool.write() as connection:
                await connection.execute(_SET_LEASE, [key | {"lease_s": lease_s} for key in keys])

    async def abandon(self, tenant: Tenant, staged: Sequence[StagedVersion]) -> None:
        """Let the sweep have them."""
        keys = _keys(tenant, ((entry.document.id, entry.version) for entry in staged))
        if keys:
            async with self.pool.write() as connection:
                await connection.execute(_CONDEMN_STAGED, keys)

    async def delete(self, tenant: Tenant, document_id: DocumentId) -> bool:
        """Tombstone. Takes every version along that was numbered before, staged ones too."""
        return bool(await self.delete_all(tenant, [document_id]))

    async def delete_all(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> set[DocumentId]:
        """Tombstones for those that there are, in one transaction."""
        d, v = documents.c, document_versions.c
        tombstone = (
            update(documents)
            .where(d.tenant == tenant, d.active_version.is_not(None))
            .values(
                active_version=None,
                content_hash="",
                chunk_count=0,
                title="",
                domain="",
                metadata=_NO_METADATA,
                updated_at=database_now(),
                deleted_at=database_now(),
            )
        )
        condemn = update(document_versions).where(v.tenant == tenant, v.state != CONDEMNED)
        async with self.pool.write() as connection:
            there = await _locked_documents(connection, tenant, filter(is_storable, document_ids))
            deleted = {document_id for document_id, row in there.items() if row.active_version is not None}
            if deleted:
                await connection.execute(tombstone.where(among(d.id, deleted)))
                await connection.execute(
                    condemn.where(among(v.document_id, deleted)).values(state=CONDEMNED, lease_until=None)
                )
        return deleted


@dataclass(frozen=True, slots=True)
class _Flips:
    """What is to become of each staged version: `forward` is flipped, `lost` has been overtaken, `done` was flipped."""

    forward: dict[DocumentId, int]
    lost: dict[DocumentId, int]
    done: set[DocumentId]

    @classmethod
    def sorted_out(
        cls,
        wanted: Mapping[DocumentId, int],
        amended: Mapping[DocumentId, int],
        actives: Mapping[DocumentId, AnyRow],
        states: Mapping[tuple[DocumentId, int], str],
    ) -> _Flips:
        flips = cls({}, {}, set())
        for document_id, version in wanted.items():
            state = states.get((document_id, version))
            document = actives.get(document_id)
            if state in (ACTIVE, RETIRED):  # this very call was made before, and only its answer was lost
                flips.done.add(document_id)
            elif document is not None and _is_overtaken(document.active_version, version, amended.get(document_id)):
                flips.lost[document_id] = version
            elif state == STAGED:
                flips.forward[document_id] = version
            elif document is None or document.deleted_at is None:
                raise Conflict("the lease of a staged version ended before it was activated")
        return flips


def _is_overtaken(active: int | None, version: int, amends: int | None) -> bool:
    return (active or 0) > version or (amends is not None and amends != active)


async def _number(connection: AsyncConnection, tenant: Tenant, drafts: Sequence[Draft]) -> dict[DocumentId, AnyRow]:
    """The next number of each document, its row locked from here to the commit. One statement, in the order of ids."""
    numbering = upsert(connection, documents)
    numbering = numbering.values(
        latest_version=1,
        content_hash="",
        chunk_count=0,
        title="",
        domain="",
        metadata=_NO_METADATA,
        created_at=database_now(),
        updated_at=database_now(),
    ).on_conflict_do_update(index_elements=["tenant", "id"], set_={"latest_version": documents.c.latest_version + 1})
    d = documents.c
    returned = numbering.returning(d.id, d.latest_version, d.active_version, d.content_hash, d.chunk_count)
    ids = sorted(draft.document.id for draft in drafts)
    rows = await connection.execute(returned, [{"tenant": tenant, "id": document_id} for document_id in ids])
    return {row.id: row for row in rows}


def _stored(tenant: Tenant, draft: Draft, numbered: AnyRow) -> StagedVersion | Unchanged:
    document = draft.document
    if numbered.active_version is not None and numbered.content_hash == draft.content_hash:
        return Unchanged(document.id, numbered.active_version, numbered.chunk_count)
    version: int = numbered.latest_version
    return StagedVersion(
        document=document,
        version=version,
        chunks=tuple(
            Chunk(
                id=chunk_id(tenant, document.id, version, ordinal),
                document_id=document.id,
                version=version,
                ordinal=ordinal,
                text=document.text[span.start : span.end],
                start=span.start,
                end=span.end,
                heading=span.heading,
                token_count=span.token_count,
            )
            for ordinal, span in enumerate(draft.spans)
        ),
        replaces=numbered.active_version is not None,
    )


async def _locked_documents(
    connection: AsyncConnection, tenant: Tenant, ids: Iterable[DocumentId]
) -> dict[DocumentId, AnyRow]:
    d = documents.c
    query = (
        select(d.id, d.active_version, d.deleted_at)
        .where(d.tenant == tenant, among(d.id, ids))
        .order_by(d.id)
        .with_for_update()
    )
    return {row.id: row for row in await connection.execute(query)}


async def _locked_states(
    connection: AsyncConnection, tenant: Tenant, wanted: Mapping[DocumentId, int]
) -> dict[tuple[DocumentId, int], str]:
    v = document_versions.c
    # A few versions of each document exist at a time: cheaper to lock those too than to name pairs.
    query = (
        select(v.document_id, v.version, v.state)
        .where(v.tenant == tenant, among(v.document_id, wanted))
        .order_by(v.document_id, v.version)
        .with_for_update()
    )
    rows = await connection.execute(query)
    return {(row.document_id, row.version): row.state for row in rows}


async def _flip(
    connection: AsyncConnection, tenant: Tenant, flips: _Flips, actives: Mapping[DocumentId, AnyRow]
) -> None:
    before = [
        (document_id, actives[document_id].active_version)
        for document_id in flips.forward
        if actives[document_id].active_version is not None
    ]
    for statement, pairs in (
        (_RETIRE, before),
        (_ACTIVATE, flips.forward.items()),
        (_POINT_AT, flips.forward.items()),
        (_CONDEMN_STAGED, flips.lost.items()),
    ):
        if keys := _keys(tenant, pairs):
            await connection.execute(statement, keys)


def _keys(tenant: Tenant, pairs: Iterable[tuple[DocumentId, int]]) -> list[dict[str, Any]]:
    return [
        {"of_tenant": tenant, "of_document": document_id, "of_version": version}
        for document_id, version in sorted(pairs)
    ]


def _refuse_unstorable(tenant: Tenant, draft: Draft) -> None:
    document = draft.document
    refuse_unstorable(
        identifiers={"/tenant": tenant, "/id": document.id, "/domain": document.domain},
        values={"/text": document.text, "/title": document.title, "/metadata": document.metadata},
    )


def _version_row(tenant: Tenant, draft: Draft, entry: StagedVersion, lease_s: float) -> dict[str, Any]:
    document = draft.document
    return {
        "tenant": tenant,
        "document_id": document.id,
        "version": entry.version,
        "state": STAGED,
        "text": document.text,
        "title": document.title,
        "domain": document.domain,
        "metadata": dict(document.metadata),
        "content_hash": draft.content_hash,
        "chunk_count": len(entry.chunks),
        "lease_s": lease_s,
    }


def _chunk_row(tenant: Tenant, chunk: Chunk) -> dict[str, Any]:
    return {
        "id": chunk.id,
        "tenant": tenant,
        "document_id": chunk.document_id,
        "version": chunk.version,
        "ordinal": chunk.ordinal,
        "text": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
        "heading": chunk.heading,
        "token_count": chunk.token_count,
    }


_IS_VERSION: Final = and_(
    document_versions.c.tenant == bindparam("of_tenant"),
    document_versions.c.document_id == bindparam("of_document"),
    document_versions.c.version == bindparam("of_version"),
)
_IS_STAGED: Final = and_(_IS_VERSION, document_versions.c.state == STAGED)
_LEASE: Final = seconds_from_now("lease_s")

_INSERT_VERSION: Final = insert(document_versions).values(lease_until=_LEASE, created_at=database_now())
_SET_LEASE: Final = update(document_versions).where(_IS_STAGED).values(lease_until=_LEASE)
_CONDEMN_STAGED: Final = update(document_versions).where(_IS_STAGED).values(state=CONDEMNED, lease_until=None)
_RETIRE: Final = update(document_versions).where(_IS_VERSION).values(state=RETIRED, retired_at=database_now())
_ACTIVATE: Final = update(document_versions).where(_IS_VERSION).values(state=ACTIVE, lease_until=None)
_POINT_AT: Final = (
    update(documents)
    .where(
        _IS_VERSION, documents.c.tenant == document_versions.c.tenant, documents.c.id == document_versions.c.document_id
    )
    .values(
        active_version=document_versions.c.version,
        content_hash=document_versions.c.content_hash,
        chunk_count=document_versions.c.chunk_count,
        title=document_versions.c.title,
        domain=document_versions.c.domain,
        metadata=document_versions.c.metadata,
        # A document that comes into being, or comes back after its deletion, is as old as that.
        created_at=case((documents.c.active_version.is_(None), database_now()), else_=documents.c.created_at),
        updated_at=database_now(),
        deleted_at=None,
    )
)
