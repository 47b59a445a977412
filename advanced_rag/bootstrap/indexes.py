"""Milvus: the embedded engine or a server, one connection, and each lane's index behind its own guard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from advanced_rag.adapters.guarded import GuardedPassageStore, GuardedVectorIndex
from advanced_rag.adapters.measured import MeasuredVectorIndex
from advanced_rag.adapters.milvus.client import ConnectionLimits, MilvusConnection
from advanced_rag.adapters.milvus.collections import ensure_collection, layout_of
from advanced_rag.adapters.milvus.engine import EmbeddedMilvus
from advanced_rag.adapters.milvus.vector_index import MilvusSparseIndex, MilvusVectorIndex
from advanced_rag.bootstrap.guards import Guards, lane_guard_name
from advanced_rag.config import Settings
from advanced_rag.domain.documents import Lane
from advanced_rag.exceptions import DependencyError, DependencyTimeout, LoadShed, SchemaMismatch
from advanced_rag.ports.collections import CollectionRecord
from advanced_rag.ports.indexes import PassageStore, VectorIndex
from advanced_rag.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Preparation:
    """Makes, checks, loads and searches every collection once, until that works; again after the engine restarted."""

    connection: MilvusConnection
    records: Sequence[CollectionRecord]
    settings: Settings
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def prepare(self) -> None:
        """Once. Raises DependencyError or LoadShed."""
        fields = self.settings.filters.fields
        limit_s = self.settings.milvus.load_timeout_s
        scope = asyncio.timeout(limit_s)
        try:
            async with scope:
                await asyncio.gather(*(ensure_collection(self.connection, record, fields) for record in self.records))
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DependencyTimeout("milvus", limit_s=limit_s) from error
        self.done.set()

    async def keep_trying(self) -> None:
        """Until it has worked. A collection of another shape is said once and left alone: only a reindex mends it."""
        wait_s = self.settings.health.failing_interval_s
        while not self.done.is_set():
            try:
                await self.prepare()
            except SchemaMismatch:
                logger.critical("a collection does not fit the settings: reindex it", exc_info=True)
                return
            except (DependencyError, LoadShed) as error:
                logger.warning("the collections are not ready: %s", error)
                await asyncio.sleep(wait_s)


@dataclass(frozen=True, slots=True)
class Indexes:
    """Every lane's index. `domains` by the domain's name; `all` by the physical collection's name, for the sweep."""

    connection: MilvusConnection
    preparation: Preparation
    semantic: VectorIndex
    sparse: VectorIndex
    passages: PassageStore
    domains: dict[str, VectorIndex]
    all: dict[str, VectorIndex]


@asynccontextmanager
async def open_connection(settings: Settings) -> AsyncIterator[tuple[MilvusConnection, EmbeddedMilvus | None]]:
    """The connection to the server that is set, or to the embedded engine, which the caller starts."""
    milvus = settings.milvus
    limits = ConnectionLimits(load_s=milvus.load_timeout_s)
    engine: EmbeddedMilvus | None = None
    if milvus.uri:
        connection = MilvusConnection(milvus.uri, token=milvus.token.get_secret_value(), limits=limits)
    else:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        engine = EmbeddedMilvus(settings.data_dir)
        connection = MilvusConnection(engine.uri, embedded=True, limits=limits)
    try:
        yield connection, engine
    finally:
        await connection.close()
        if engine is not None:
            await engine.close()


def build_indexes(
    settings: Settings,
    connection: MilvusConnection,
    records: Sequence[CollectionRecord],
    guards: Guards,
    metrics: Metrics,
) -> Indexes:
    """An index for each record: the adapter, measured, behind its lane's guard."""
    fields = settings.filters.fields
    guarded: dict[str, VectorIndex] = {}
    for record in records:
        adapter = _adapter(connection, record, settings)
        measured = MeasuredVectorIndex(adapter, partial(_observe, metrics, record.lane))
        guard = guards.lane(record.lane)
        writing = guard.limited(attempt_timeout_s=settings.milvus.upsert_timeout_s)
        slow = dict.fromkeys(("upsert", "delete", "present", "vectors", "page_of_ids"), writing)
        guarded[record.physical_name] = GuardedVectorIndex(measured, guard, slow)
    names = {(record.lane, record.domain): record.physical_name for record in records}
    sparse_record = next(record for record in records if record.lane is Lane.SPARSE)
    passages = MilvusSparseIndex(
        connection, sparse_record.physical_name, layout_of(sparse_record, fields), lane_guard_name(Lane.SPARSE)
    )
    return Indexes(
        connection=connection,
        preparation=Preparation(connection, records, settings),
        semantic=guarded[names[Lane.SEMANTIC, ""]],
        sparse=guarded[names[Lane.SPARSE, ""]],
        passages=GuardedPassageStore(passages, guards.lane(Lane.SPARSE)),
        domains={domain: guarded[name] for (lane, domain), name in names.items() if lane is Lane.DOMAIN},
        all=guarded,
    )


def _adapter(connection: MilvusConnection, record: CollectionRecord, settings: Settings) -> MilvusVectorIndex:
    kind = MilvusSparseIndex if record.lane is Lane.SPARSE else MilvusVectorIndex
    layout = layout_of(record, settings.filters.fields)
    return kind(connection, record.physical_name, layout, lane_guard_name(record.lane))


def _observe(metrics: Metrics, lane: Lane, operation: str, seconds: float) -> None:
    metrics.milvus_duration.labels(operation, lane.value).observe(seconds)
