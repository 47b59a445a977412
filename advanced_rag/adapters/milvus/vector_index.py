"""The ports `VectorIndex` and `PassageStore` on one Milvus collection: words and errors translated, nothing decided."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from pymilvus import AsyncMilvusClient

from advanced_rag.adapters.milvus.client import ONE_ATTEMPT, MilvusConnection
from advanced_rag.adapters.milvus.dialect import Dialect
from advanced_rag.adapters.milvus.errors import CollectionNotLoaded, NothingToRank, translated
from advanced_rag.adapters.milvus.filters import ID_FIELD, matches_nothing, render, render_ids, render_ids_after
from advanced_rag.adapters.milvus.schema import TERMS_FIELD, VECTOR_FIELD, Layout, Row
from advanced_rag.constants import MILVUS_MAX_LIMIT
from advanced_rag.domain.documents import ChunkId, DocumentId, Hit, IndexRow, Passage, Tenant, Vector
from advanced_rag.domain.filters import Filter
from advanced_rag.exceptions import DependencyUnavailable
from advanced_rag.ports.indexes import Probe

T = TypeVar("T")

_IDS_PER_CALL: Final = 1_000
_HIT_FIELDS: Final = ("document_id", "version")
_PASSAGE_FIELDS: Final = (*_HIT_FIELDS, "title", "domain", "text", "start", "end", "heading", "metadata")
# A server answers pages in the order of the key only to what calls itself an iterator.
_IN_ORDER: Final[Mapping[str, str]] = {"iterator": "True", "reduce_stop_for_best": "True"}


@dataclass(frozen=True, slots=True)
class UpsertLimits:
    """How much goes in one call: pymilvus spends 0.15 ms a row on the event loop, and a server takes 64 MB at most."""

    rows: int = 100
    bytes: int = 8_000_000


@dataclass(frozen=True, slots=True)
class MilvusVectorIndex:
    """One lane's collection. `name` (`milvus.semantic`, …) is what its errors and log lines call it."""

    connection: MilvusConnection
    collection: str
    layout: Layout
    name: str
    limits: UpsertLimits = UpsertLimits()

    async def search(self, probe: Probe, *, tenant: Tenant, limit: int, where: Filter | None = None) -> list[Hit]:
        """One call; none where the filter is constantly false or the probe empty. At most 16,384 hits."""
        data = self.layout.probe(probe, name=self.name)
        if data is None or limit <= 0 or matches_nothing(where):
            return []

        async def search(client: AsyncMilvusClient, dialect: Dialect) -> list[Hit]:
            rendered = render(where, dialect, tenant=tenant)
            with translated(self.name):
                (found,) = await client.search(
                    self.collection,
                    data,
                    anns_field=VECTOR_FIELD,
                    search_params={"metric_type": self.layout.metric},
                    filter=rendered.expression,
                    filter_params=dict(rendered.params),
                    limit=min(limit, MILVUS_MAX_LIMIT),
                    output_fields=list(_HIT_FIELDS),
                    **ONE_ATTEMPT,
                )
                return [_hit(row) for row in found]

        try:
            return await self._attempt(search)
        except NothingToRank:
            return []

    async def upsert(self, rows: Sequence[IndexRow]) -> None:
        """Whole rows in calls of bounded size; of a chunk id that occurs twice the last one counts."""
        unique = {row.chunk_id: row for row in rows}
        # All are checked before any is sent: a vector that does not belong here leaves nothing half done.
        for batch in batches([self.layout.row(row, name=self.name) for row in unique.values()], self.limits):

            async def upsert(client: AsyncMilvusClient, _: Dialect, batch: list[Row] = batch) -> None:
                with translated(self.name):
                    await client.upsert(self.collection, batch, **ONE_ATTEMPT)

            await self._attempt(upsert)

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None:
        """By primary key, then read back: pymilvus 3.0.2 drops the status of a delete, a refused one looks done."""
        for ids in _slices(chunk_ids, _IDS_PER_CALL):

            async def delete(client: AsyncMilvusClient, dialect: Dialect, ids: Sequence[ChunkId] = ids) -> None:
                rendered = render_ids(ids, dialect)
                with translated(self.name):
                    await client.delete(
                        self.collection,
                        filter=rendered.expression,
                        filter_params=dict(rendered.params),
                        **ONE_ATTEMPT,
                    )

            await self._attempt(delete)
            if await self.present(ids):
                raise DependencyUnavailable(self.name, f"rows of {self.name} could not be deleted")

    async def present(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
        """With strong consistency: on a server it sees every acknowledged write, and so do later searches."""
        found: set[ChunkId] = set()
        for ids in _slices(chunk_ids, _IDS_PER_CALL):
            rows = await self._rows(ids, fields=(ID_FIELD,), consistency_level="Strong")
            with translated(self.name):
                found.update(ChunkId(row[ID_FIELD]) for row in rows)
        return found

    async def vectors(self, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Vector]:
        """By primary key, with strong consistency."""
        found: dict[ChunkId, Vector] = {}
        for ids in _slices(chunk_ids, _IDS_PER_CALL):
            rows = await self._rows(ids, fields=(ID_FIELD, VECTOR_FIELD), consistency_level="Strong")
            with translated(self.name):
                found |= {ChunkId(row[ID_FIELD]): np.asarray(row[VECTOR_FIELD], dtype=np.float32) for row in rows}
        return found

    async def page_of_ids(self, after: ChunkId | None, limit: int) -> list[ChunkId]:
        """By primary key; at most 16,384 a page."""

        async def page(client: AsyncMilvusClient, dialect: Dialect) -> list[ChunkId]:
            rendered = render_ids_after(after or "", dialect)
            with translated(self.name):
                rows = await client.query(
                    self.collection,
                    filter=rendered.expression,
                    filter_params=dict(rendered.params),
                    output_fields=[ID_FIELD],
                    limit=min(limit, MILVUS_MAX_LIMIT),
                    **({} if dialect.ordered_pages else _IN_ORDER),
                    **ONE_ATTEMPT,
                )
                return sorted(ChunkId(row[ID_FIELD]) for row in rows)

        return await self._attempt(page)

    async def _rows(
        self, ids: Sequence[ChunkId], *, fields: Sequence[str], tenant: Tenant | None = None, **options: Any
    ) -> list[Mapping[str, Any]]:
        async def query(client: AsyncMilvusClient, dialect: Dialect) -> list[Mapping[str, Any]]:
            rendered = render_ids(ids, dialect, tenant=tenant)
            with translated(self.name):
                rows = await client.query(
                    self.collection,
                    filter=rendered.expression,
                    filter_params=dict(rendered.params),
                    output_fields=list(fields),
                    **options,
                    **ONE_ATTEMPT,
                )
                return list(rows)

        return await self._attempt(query)

    async def _attempt(self, call: Callable[[AsyncMilvusClient, Dialect], Awaitable[T]]) -> T:
        """The call; where the collection turns out not to be loaded, load it once and call again (R5.3)."""
        connected = await self.connection.open()
        sent_at = time.monotonic()
        try:
            return await call(connected.client, connected.dialect)
        except CollectionNotLoaded:
            await self.connection.load(self.collection, missed_at=sent_at)
        connected = await self.connection.open()
        return await call(connected.client, connected.dialect)


@dataclass(frozen=True, slots=True)
class MilvusSparseIndex(MilvusVectorIndex):
    """The sparse lane's collection, which keeps the texts too: also a `PassageStore`."""

    async def vectors(self, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Vector]:  # noqa: ARG002  # the port's
        """None: what it is searched by, it makes of the terms by itself."""
        return {}

    async def passages(self, tenant: Tenant, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Passage]:
        """Of that tenant only, marked stale."""
        found: dict[ChunkId, Passage] = {}
        for ids in _slices(chunk_ids, _IDS_PER_CALL):
            rows = await self._rows(ids, fields=(ID_FIELD, *_PASSAGE_FIELDS), tenant=tenant)
            with translated(self.name):
                found.update((ChunkId(row[ID_FIELD]), _passage(row)) for row in rows)
        return found


def _hit(row: Mapping[str, Any]) -> Hit:
    entity = row["entity"]
    score = float(row["distance"])
    if not math.isfinite(score):
        raise ValueError("a score is not finite")
    return Hit(ChunkId(row[ID_FIELD]), score, DocumentId(entity["document_id"]), int(entity["version"]))


def _passage(row: Mapping[str, Any]) -> Passage:
    return Passage(
        chunk_id=ChunkId(row[ID_FIELD]),
        document_id=DocumentId(row["document_id"]),
        version=int(row["version"]),
        title=row["title"],
        domain=row["domain"],
        text=row["text"],
        start=int(row["start"]),
        end=int(row["end"]),
        heading=row["heading"],
        metadata=dict(row["metadata"]),
        stale=True,
    )


def batches(rows: Sequence[Row], limits: UpsertLimits) -> Iterator[list[Row]]:
    """The rows in order, in lists within both bounds; a row that is too large by itself goes alone."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        row_size = _size(row)
        if batch and (len(batch) >= limits.rows or size + row_size > limits.bytes):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_size
    if batch:
        yield batch


def _size(row: Row) -> int:
    """Roughly the bytes on the wire, from what can be large."""
    texts = sum(len(row[name].encode()) for name in ("text", TERMS_FIELD) if name in row)
    return texts + getattr(row.get(VECTOR_FIELD), "nbytes", 0)


def _slices(items: Sequence[ChunkId], size: int) -> Iterator[Sequence[ChunkId]]:
    unique = list(dict.fromkeys(items))
    for start in range(0, len(unique), size):
        yield unique[start : start + size]
