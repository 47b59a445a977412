"""Port to the list of chunks that should be in the indexes, for comparing it with what is there (reliability R6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from advanced_rag.domain.documents import ChunkId, Tenant
from advanced_rag.ports.documents import StagedVersion


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A stored chunk. `active`: its version is the document's active one, so every index of it must hold the chunk.

    Others may be in an index or not: staged, within their grace, or about to be swept.
    """

    chunk_id: ChunkId
    active: bool


class ChunkLedger(Protocol):
    """Chunks of all tenants by id. Raises DependencyError or LoadShed when the database does not answer.

    `domain`: only chunks of documents of that domain, as its own collection holds them; None: of all.
    """

    async def page(self, after: ChunkId | None, limit: int, *, domain: str | None = None) -> list[LedgerEntry]:
        """Every stored chunk in ascending order of its id, `limit` at a time; an empty page is the end."""
        ...

    async def known(self, chunk_ids: Sequence[ChunkId], *, domain: str | None = None) -> set[ChunkId]:
        """Which of these are stored, whatever their version's state. An id that is not will never be again."""
        ...

    async def versions(self, chunk_ids: Sequence[ChunkId]) -> list[tuple[Tenant, StagedVersion]]:
        """Those of these chunks that are active, by version, as they were staged; each document's own text is ""."""
        ...
