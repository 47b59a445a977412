"""Documents of record in memory; passes the contract of the real ones. Its clock stands for the database's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from advanced_rag.domain.documents import Chunk, ChunkId, Document, DocumentId, Metadata, Passage, Tenant
from advanced_rag.domain.identity import chunk_id
from advanced_rag.exceptions import Conflict, ValidationError
from advanced_rag.ports.commits import CommitNote, NoteOfFlip
from advanced_rag.ports.documents import (
    ChunkRef,
    DocumentRecord,
    Draft,
    Page,
    RetiredVersion,
    StagedVersion,
    Unchanged,
)
from tests.fakes.storable import refuse_unstorable

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Version:
    document: Document
    content_hash: str
    chunks: tuple[Chunk, ...]
    state: str
    created: float
    lease_until: float
    retired_at: float = 0.0


@dataclass(slots=True)
class _Document:
    active: int | None = None
    latest: int = 0
    created: float = 0.0
    updated: float = 0.0
    deleted: bool = False
    versions: dict[int, _Version] = field(default_factory=dict)


@dataclass(slots=True)
class FakeDocumentStore:
    """All three ports: DocumentStore, DocumentReader, VersionSweep. `write_note` is given what goes with a flip."""

    clock: Callable[[], float] = time.monotonic
    write_note: Callable[[CommitNote], object] = lambda _: None
    _documents: dict[tuple[Tenant, DocumentId], _Document] = field(default_factory=dict)

    async def stage(
        self, tenant: Tenant, drafts: Sequence[Draft], *, lease_s: float
    ) -> list[StagedVersion | Unchanged]:
        for draft in drafts:
            document = draft.document
            refuse_unstorable(
                {"/tenant": tenant, "/id": document.id, "/domain": document.domain},
                {"/text": document.text, "/title": document.title, "/metadata": document.metadata},
            )
        return [self._staged(tenant, draft, lease_s) for draft in drafts]

    async def unchanged(self, tenant: Tenant, hashes: Mapping[DocumentId, str]) -> dict[DocumentId, Unchanged]:
        found = {}
        for document_id, content_hash in hashes.items():
            entry = self._unchanged(tenant, document_id, content_hash)
            if entry is not None:
                found[document_id] = entry
        return found

    async def activate(
        self, tenant: Tenant, staged: Sequence[StagedVersion], *, also: NoteOfFlip | None = None
    ) -> set[DocumentId]:
        flipped, forward = set(), []
        for entry in staged:
            row = self._documents[tenant, entry.document.id]
            version = row.versions.get(entry.version)
            state = version.state if version else None
            if state in ("active", "retired"):
                flipped.add(entry.document.id)
            elif (row.active or 0) > entry.version or entry.amends not in (None, row.active):
                if version is not None:
                    version.state = "condemned"
            elif state == "staged":
                forward.append(entry)
            elif not row.deleted:
                raise Conflict("the lease of a staged version ended before it was activated")
        flipped |= {entry.document.id for entry in forward}
        if also is not None and staged:
            self.write_note(also(flipped))  # may refuse: then nothing is flipped
        for entry in forward:
            self._flip(self._documents[tenant, entry.document.id], entry.version)
        return flipped

    async def renew(self, tenant: Tenant, staged: Sequence[StagedVersion], *, lease_s: float) -> None:
        for version in self._still_staged(tenant, staged):
            version.lease_until = self.clock() + lease_s

    async def abandon(self, tenant: Tenant, staged: Sequence[StagedVersion]) -> None:
        for version in self._still_staged(tenant, staged):
            version.state = "condemned"

    async def delete(self, tenant: Tenant, document_id: DocumentId) -> bool:
        row = self._documents.get((tenant, document_id))
        if row is None or row.active is None:
            return False
        row.active, row.deleted = None, True
        for version in row.versions.values():
            version.state = "condemned"
        return True

    async def delete_all(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> set[DocumentId]:
        return {document_id for document_id in document_ids if await self.delete(tenant, document_id)}

    async def visible(
        self, tenant: Tenant, candidates: Sequence[ChunkRef], *, grace_s: float
    ) -> dict[ChunkId, Passage]:
        wanted = {candidate.chunk_id for candidate in candidates}
        passages: dict[ChunkId, Passage] = {}
        for (owner, _), row in self._documents.items():
            if owner != tenant:
                continue
            readable = [
                number
                for number, version in row.versions.items()
                if (number == row.active or self._in_grace(version, grace_s))
                and any(chunk.id in wanted for chunk in version.chunks)
            ]
            if readable:
                shown = row.versions[max(readable)]
                passages |= {chunk.id: _passage(shown, chunk) for chunk in shown.chunks if chunk.id in wanted}
        return passages

    async def document(self, tenant: Tenant, document_id: DocumentId) -> tuple[DocumentRecord, str] | None:
        row = self._documents.get((tenant, document_id))
        if row is None or row.active is None:
            return None
        return _record(row), row.versions[row.active].document.text

    async def documents(
        self,
        tenant: Tenant,
        *,
        limit: int,
        cursor: str | None = None,
        domain: str | None = None,
        admits: Callable[[DocumentRecord], bool] | None = None,
    ) -> Page[DocumentRecord]:
        if cursor is not None and not cursor.startswith("after:"):
            raise ValidationError.of("/cursor", "invalid", "is not a cursor of this listing")
        after = "" if cursor is None else cursor.removeprefix("after:")
        records = [
            _record(row)
            for (owner, document_id), row in sorted(self._documents.items())
            if owner == tenant and row.active is not None and document_id > after
        ]
        if domain is not None:
            records = [record for record in records if record.domain == domain]
        if admits is not None:
            records = list(filter(admits, records))
        more = len(records) > limit
        return Page(tuple(records[:limit]), f"after:{records[limit - 1].id}" if more else None)

    async def existing(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> set[DocumentId]:
        rows = {document_id: self._documents.get((tenant, document_id)) for document_id in document_ids}
        return {document_id for document_id, row in rows.items() if row is not None and row.active is not None}

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> list[Chunk] | None:
        row = self._documents.get((tenant, document_id))
        return None if row is None or row.active is None else list(row.versions[row.active].chunks)

    async def sweepable(self, *, grace_s: float, limit: int) -> list[RetiredVersion]:
        now = self.clock()
        condemned = []
        for (tenant, document_id), row in self._documents.items():
            for number, version in row.versions.items():
                lease_over = version.state == "staged" and version.lease_until <= now
                grace_over = version.state == "retired" and version.retired_at <= now - grace_s
                if lease_over or grace_over:
                    version.state = "condemned"
                if version.state == "condemned":
                    ids = tuple(chunk.id for chunk in version.chunks)
                    condemned.append((version.created, RetiredVersion(tenant, document_id, number, ids)))
        condemned.sort(key=lambda item: (item[0], item[1].tenant, item[1].document_id, item[1].version))
        return [retired for _, retired in condemned[:limit]]

    async def purge(self, versions: Sequence[RetiredVersion]) -> None:
        for retired in versions:
            row = self._documents.get((retired.tenant, retired.document_id))
            version = row.versions.get(retired.version) if row else None
            if row is not None and version is not None and version.state == "condemned":
                del row.versions[retired.version]

    def _staged(self, tenant: Tenant, draft: Draft, lease_s: float) -> StagedVersion | Unchanged:
        document = draft.document
        row = self._documents.setdefault((tenant, document.id), _Document())
        unchanged = self._unchanged(tenant, document.id, draft.content_hash)
        if unchanged is not None:
            return unchanged
        row.latest += 1
        chunks = tuple(
            Chunk(
                chunk_id(tenant, document.id, row.latest, ordinal),
                document.id,
                row.latest,
                ordinal,
                document.text[span.start : span.end],
                span.start,
                span.end,
                span.heading,
                span.token_count,
            )
            for ordinal, span in enumerate(draft.spans)
        )
        now = self.clock()
        row.versions[row.latest] = _Version(document, draft.content_hash, chunks, "staged", now, now + lease_s)
        return StagedVersion(document, row.latest, chunks, replaces=row.active is not None)

    def _unchanged(self, tenant: Tenant, document_id: DocumentId, content_hash: str) -> Unchanged | None:
        row = self._documents.get((tenant, document_id))
        if row is None or row.active is None or row.versions[row.active].content_hash != content_hash:
            return None
        return Unchanged(document_id, row.active, len(row.versions[row.active].chunks))

    def _still_staged(self, tenant: Tenant, staged: Sequence[StagedVersion]) -> list[_Version]:
        rows = (self._documents[tenant, entry.document.id].versions.get(entry.version) for entry in staged)
        return [version for version in rows if version is not None and version.state == "staged"]

    def _in_grace(self, version: _Version, grace_s: float) -> bool:
        return version.state == "retired" and version.retired_at > self.clock() - grace_s

    def _flip(self, row: _Document, number: int) -> None:
        now = self.clock()
        if row.active is None:
            row.created = now
        else:
            row.versions[row.active].state = "retired"
            row.versions[row.active].retired_at = now
        row.versions[number].state = "active"
        row.active, row.updated, row.deleted = number, now, False


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _record(row: _Document) -> DocumentRecord:
    assert row.active is not None
    version = row.versions[row.active]
    document = version.document
    return DocumentRecord(
        document.id,
        row.active,
        document.title,
        document.domain,
        _copied(document.metadata),
        version.content_hash,
        len(version.chunks),
        _moment(row.created),
        _moment(row.updated),
    )


def _passage(version: _Version, chunk: Chunk) -> Passage:
    document = version.document
    return Passage(
        chunk.id,
        document.id,
        chunk.version,
        document.title,
        document.domain,
        chunk.text,
        chunk.start,
        chunk.end,
        chunk.heading,
        _copied(document.metadata),
    )


def _copied(metadata: Metadata) -> Metadata:
    return dict(metadata)
