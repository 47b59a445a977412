"""Ports with a stopwatch: how long each attempt took, told to whoever keeps the histograms."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from advanced_rag.domain.documents import ChunkId, Hit, IndexRow, Matrix, Tenant, Vector
from advanced_rag.domain.filters import Filter
from advanced_rag.ports.indexes import Probe, VectorIndex
from advanced_rag.ports.models import EmbeddingModel, Encoder

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class MeasuredVectorIndex:
    """An index; `observe` is told the operation and its seconds, however it ended."""

    inner: VectorIndex
    observe: Callable[[str, float], None]

    async def search(self, probe: Probe, *, tenant: Tenant, limit: int, where: Filter | None = None) -> list[Hit]:
        """As the inner index."""
        return await self._timed("search", self.inner.search(probe, tenant=tenant, limit=limit, where=where))

    async def upsert(self, rows: Sequence[IndexRow]) -> None:
        """As the inner index."""
        await self._timed("upsert", self.inner.upsert(rows))

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """As the inner index."""
        await self._timed("delete", self.inner.delete(chunk_ids))

    async def present(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
        """As the inner index; not measured."""
        return await self.inner.present(chunk_ids)

    async def vectors(self, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Vector]:
        """As the inner index; not measured."""
        return await self.inner.vectors(chunk_ids)

    async def page_of_ids(self, after: ChunkId | None, limit: int) -> list[ChunkId]:
        """As the inner index; not measured."""
        return await self.inner.page_of_ids(after, limit)

    async def _timed(self, operation: str, call: Awaitable[Result]) -> Result:
        started = time.monotonic()
        try:
            return await call
        finally:
            self.observe(operation, time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class MeasuredEncoder:
    """An encoder; `observe` is told how many texts went in and its seconds, however it ended."""

    inner: Encoder
    observe: Callable[[int, float], None]

    @property
    def model(self) -> EmbeddingModel:
        """As the inner encoder."""
        return self.inner.model

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        """As the inner encoder."""
        return await self._timed(len(texts), self.inner.encode_queries(texts))

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        """As the inner encoder."""
        return await self._timed(len(texts), self.inner.encode_documents(texts))

    async def _timed(self, texts: int, call: Awaitable[Matrix]) -> Matrix:
        started = time.monotonic()
        try:
            return await call
        finally:
            self.observe(texts, time.monotonic() - started)
