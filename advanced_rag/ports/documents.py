"""Ports to the documents of record: the database is the truth, every index is made from it (design 3.1).

All methods raise DependencyError (tried) or LoadShed (not tried) when the database does not answer. Every method
takes the tenant of the authenticated caller; another tenant's document does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from advanced_rag.domain.documents import Chunk, ChunkId, ChunkSpan, Document, DocumentId, Metadata, Passage, Tenant
from advanced_rag.ports.commits import NoteOfFlip

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Draft:
    """A document ready to be stored: cut into spans, its content hashed (title, domain and metadata included)."""

    document: Document
    content_hash: str
    spans: tuple[ChunkSpan, ...]


@dataclass(frozen=True, slots=True)
class StagedVersion:
    """A version that is stored and invisible. `replaces` is whether an active version stood when it was staged.

    `amends`: it was made from that version, and may take the place of no other.
    """

    document: Document
    version: int
    chunks: tuple[Chunk, ...]
    replaces: bool
    amends: int | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The active version has this very content already."""

    document_id: DocumentId
    version: int
    chunk_count: int


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A document as it stands: its active version."""

    id: DocumentId
    version: int
    title: str
    domain: str
    metadata: Metadata
    content_hash: str
    chunk_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """A candidate of a search, to be looked up."""

    chunk_id: ChunkId
    document_id: DocumentId
    version: int


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a listing; `next_cursor` is opaque, None at the end."""

    items: tuple[Item, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RetiredVersion:
    """A version that no reader may see any more and whose rows can go from every index."""

    tenant: Tenant
    document_id: DocumentId
    version: int
    chunk_ids: tuple[ChunkId, ...]


class DocumentStore(Protocol):
    """Writing versions. A version is staged (invisible), then activated in one transaction, later swept."""

    async def stage(
        self, tenant: Tenant, drafts: Sequence[Draft], *, lease_s: float
    ) -> list[StagedVersion | Unchanged]:
        """Transaction A for each draft: number its version under the document's row lock, store it and its chunks.

        No id occurs twice in `drafts`. Chunk ids are `domain.identity.chunk_id(tenant, document, version, ordinal)`.
        The lease keeps the sweep away for `lease_s` seconds. A draft whose hash is the active version's is `Unchanged`.
        """
        ...

    async def unchanged(self, tenant: Tenant, hashes: Mapping[DocumentId, str]) -> dict[DocumentId, Unchanged]:
        """Those documents whose active version has this very content hash, so that nothing need be cut or embedded."""
        ...

    async def activate(
        self, tenant: Tenant, staged: Sequence[StagedVersion], *, also: NoteOfFlip | None = None
    ) -> set[DocumentId]:
        """Transaction B, all of these at once: make each the active version, only ever forward; retire the one before.

        Returns the ids that were flipped; the others were superseded by a higher version, or amend one that is no
        longer the active one (their rows will be swept).
        `also`: what else to commit with them. Raises LeaseLost, nothing flipped, where that says so; with nothing
        staged nothing is committed.
        """
        ...

    async def abandon(self, tenant: Tenant, staged: Sequence[StagedVersion]) -> None:
        """Give up staged versions: their lease ends now, the sweep removes them."""
        ...

    async def delete(self, tenant: Tenant, document_id: DocumentId) -> bool:
        """Tombstone: from the commit on nobody sees the document. False where there is none."""
        ...

    async def delete_all(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> set[DocumentId]:
        """`delete` for each in one transaction; those that there were."""
        ...


class DocumentReader(Protocol):
    """Reading what is visible."""

    async def visible(
        self, tenant: Tenant, candidates: Sequence[ChunkRef], *, grace_s: float
    ) -> dict[ChunkId, Passage]:
        """One statement: the passages among the candidates that a reader may see now.

        Per document the active version, or, where no candidate has it, the latest version retired by replacement less
        than `grace_s` ago (reliability R6.8): exactly one version a document. Never a deleted document.
        """
        ...

    async def document(self, tenant: Tenant, document_id: DocumentId) -> tuple[DocumentRecord, str] | None:
        """The active version and its whole text."""
        ...

    async def documents(
        self,
        tenant: Tenant,
        *,
        limit: int,
        cursor: str | None = None,
        domain: str | None = None,
        admits: Callable[[DocumentRecord], bool] | None = None,
    ) -> Page[DocumentRecord]:
        """Active documents by id. Raises ValidationError (`/cursor`) for a cursor that is not ours.

        With `admits` only those that it lets through; a page may then be short, even empty, although more follow.
        """
        ...

    async def existing(self, tenant: Tenant, document_ids: Sequence[DocumentId]) -> set[DocumentId]:
        """Those that have an active version."""
        ...

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> list[Chunk] | None:
        """The active version's chunks in order, or None where there is no such document."""
        ...


class VersionSweep(Protocol):
    """Finding and removing what no reader may see any more: superseded, abandoned, replaced and deleted versions."""

    async def sweepable(self, *, grace_s: float, limit: int) -> list[RetiredVersion]:
        """Versions whose lease (staged) or grace (replaced) is over, all those of deleted documents; oldest first."""
        ...

    async def purge(self, versions: Sequence[RetiredVersion]) -> None:
        """Remove their chunks and version rows, after every index has dropped theirs. Repeatable."""
        ...
