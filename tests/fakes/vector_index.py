"""Vector indexes in memory: exact cosine for a dense lane, BM25 for the sparse one. They pass the port's contract."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from advanced_rag.constants import BM25_B, BM25_K1, MILVUS_MAX_LIMIT
from advanced_rag.domain.documents import ChunkId, Hit, IndexRow, Passage, Tenant, Vector
from advanced_rag.domain.filter_matching import matches
from advanced_rag.domain.filters import Filter
from advanced_rag.exceptions import DependencyInvalid
from advanced_rag.ports.indexes import Probe


class FakeVectorIndex:
    """A dense lane. While `error` is set every call raises it; `searches` counts those that were asked."""

    def __init__(self, *, dimension: int | None = None, name: str = "milvus.fake") -> None:
        self.rows: dict[ChunkId, IndexRow] = {}
        self.error: Exception | None = None
        self.searches = 0
        self._dimension = dimension
        self._name = name

    async def search(self, probe: Probe, *, tenant: Tenant, limit: int, where: Filter | None = None) -> list[Hit]:
        self._answer()
        self.searches += 1
        rows = [row for row in self.rows.values() if row.tenant == tenant and (where is None or _passes(row, where))]
        scored = sorted(self._scored(probe, rows), key=lambda found: (-found[1], found[0].chunk_id))
        return [
            Hit(row.chunk_id, score, row.document_id, row.version)
            for row, score in scored[: max(0, min(limit, MILVUS_MAX_LIMIT))]
        ]

    async def upsert(self, rows: Sequence[IndexRow]) -> None:
        self._answer()
        for row in rows:
            self._check(row)
        self.rows.update((row.chunk_id, row) for row in rows)

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        self._answer()
        for chunk_id in chunk_ids:
            self.rows.pop(chunk_id, None)

    async def present(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
        self._answer()
        return self.rows.keys() & set(chunk_ids)

    async def vectors(self, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Vector]:
        self._answer()
        return {chunk_id: self.rows[chunk_id].vector for chunk_id in chunk_ids if chunk_id in self.rows}

    async def page_of_ids(self, after: ChunkId | None, limit: int) -> list[ChunkId]:
        self._answer()
        return sorted(chunk_id for chunk_id in self.rows if after is None or chunk_id > after)[:limit]

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def _scored(self, probe: Probe, rows: Sequence[IndexRow]) -> Iterator[tuple[IndexRow, float]]:
        vector = self._checked(probe)
        for row in rows:
            norm = float(np.linalg.norm(vector) * np.linalg.norm(row.vector))
            yield row, float(vector @ row.vector) / norm if norm else 0.0

    def _check(self, row: IndexRow) -> None:
        self._checked(row.vector)

    def _checked(self, vector: Probe) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        if isinstance(vector, str) or self._dimension not in (None, vector.shape[0]) or not np.isfinite(vector).all():
            raise DependencyInvalid(self._name, transient=False)
        return vector


class FakeSparseIndex(FakeVectorIndex):
    """The sparse lane: BM25 over the terms, and the passages beside them."""

    async def vectors(self, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Vector]:
        self._answer()
        return {}

    async def passages(self, tenant: Tenant, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Passage]:
        self._answer()
        wanted = (self.rows[chunk_id] for chunk_id in chunk_ids if chunk_id in self.rows)
        return {row.chunk_id: replace(row.passage, stale=True) for row in wanted if row.tenant == tenant}

    def _scored(self, probe: Probe, rows: Sequence[IndexRow]) -> Iterator[tuple[IndexRow, float]]:
        if not isinstance(probe, str):
            raise DependencyInvalid(self._name, transient=False)
        documents = [Counter(row.terms.split()) for row in self.rows.values()]
        if not documents:
            return
        average = sum(map(Counter.total, documents)) / len(documents)
        for row in rows:
            terms = Counter(row.terms.split())
            score = 0.0
            for term in probe.split():
                if term in terms:
                    holding = sum(term in document for document in documents)
                    idf = math.log1p((len(documents) - holding + 0.5) / (holding + 0.5))
                    length = 1 - BM25_B + BM25_B * terms.total() / average
                    score += idf * terms[term] * (BM25_K1 + 1) / (terms[term] + BM25_K1 * length)
            if score:
                yield row, score

    def _check(self, row: IndexRow) -> None:
        """The sparse lane does not look at vectors."""


def _passes(row: IndexRow, where: Filter) -> bool:
    own = {"tenant": row.tenant, "document_id": row.document_id, "domain": row.domain}
    return matches(where, {**row.fields, **own})
