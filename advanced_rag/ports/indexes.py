"""Ports to the search indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from advanced_rag.domain.documents import ChunkId, Hit, IndexRow, Passage, Tenant, Terms, Vector
from advanced_rag.domain.filters import Filter

Probe = Vector | Terms  # a dense lane is searched by vector, the sparse lane by analysed terms


class VectorIndex(Protocol):
    """One lane's ranked index of chunks. Raises DependencyError (tried) or LoadShed (not tried), nothing else."""

    async def search(self, probe: Probe, *, tenant: Tenant, limit: int, where: Filter | None = None) -> list[Hit]:
        """Nearest chunks of that tenant, best first, at most `limit`; fewer means that there are no more.

        A part of `where` that the engine cannot say is taken as true: the result may hold rows that `where` excludes,
        never lacks one that it admits. The caller checks again on the documents' metadata.
        """
        ...

    async def upsert(self, rows: Sequence[IndexRow]) -> None:
        """Write by chunk id; repeating the same rows changes nothing. Readable by `present` when it returns."""
        ...

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """Remove by chunk id; ids that are not there are no error."""
        ...

    async def present(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
        """Which of these are stored, own acknowledged writes included."""
        ...

    async def vectors(self, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Vector]:
        """The stored vectors of these chunks, as they were written; a lane that is not searched by vector has none."""
        ...

    async def page_of_ids(self, after: ChunkId | None, limit: int) -> list[ChunkId]:
        """Every stored id of all tenants in ascending order, `limit` at a time; an empty page is the end."""
        ...


class PassageStore(Protocol):
    """Texts kept beside an index, for reading while the database is gone (reliability R5.1)."""

    async def passages(self, tenant: Tenant, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Passage]:
        """The stored passages of that tenant among these ids, marked `stale`. Raises DependencyError or LoadShed."""
        ...
