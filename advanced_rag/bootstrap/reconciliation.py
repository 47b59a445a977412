"""Comparing the indexes with the database: beside the running service, and alone as `doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from advanced_rag import __version__
from advanced_rag.adapters.milvus.engine import EmbeddedMilvus
from advanced_rag.bootstrap.database import Database, open_database
from advanced_rag.bootstrap.embedding import OpenEncoder, open_encoder
from advanced_rag.bootstrap.guards import Guards
from advanced_rag.bootstrap.indexes import Indexes, build_indexes, open_connection
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.config import Settings
from advanced_rag.domain.documents import IndexRow, Lane, Tenant
from advanced_rag.exceptions import MilvusConnectionError
from advanced_rag.ports.collections import CollectionRecord
from advanced_rag.ports.documents import StagedVersion
from advanced_rag.services.indexing import Workers
from advanced_rag.services.preparation import Preparation
from advanced_rag.services.reconciliation import (
    LaneReport,
    ReconciledLane,
    ReconciliationService,
    ReconciliationValues,
)
from advanced_rag.services.row_rebuilding import LaneEncoder, Rebuilding, RowRebuilding
from advanced_rag.services.sweeping import SweepingService
from advanced_rag.telemetry.metrics import Metrics
from advanced_rag.telemetry.resilience_events import ResilienceEvents

_MILVUS_READY_S: Final = 60.0
_THREADS: Final = 1
_MAX_WAITING: Final = 1


@dataclass(frozen=True, slots=True)
class Doctor:
    """Removes what is over, then compares every index with the database and mends it."""

    sweeping: SweepingService
    reconciliation: ReconciliationService

    async def examine(self) -> tuple[int, dict[str, LaneReport]]:
        """How many versions were swept, and each lane's report. Raises DependencyError or LoadShed."""
        swept = 0
        while batch := await self.sweeping.sweep_once():
            swept += batch
        return swept, await self.reconciliation.reconcile()


def build_sweeping(settings: Settings, database: Database, indexes: Indexes) -> SweepingService:
    """The sweep over every index."""
    ingest = settings.ingest
    return SweepingService(
        versions=database.sweep,
        indexes=indexes.all,
        grace_s=ingest.grace_s,
        batch=ingest.sweep_batch,
        interval_s=ingest.sweep_interval_s,
    )


def build_reconciliation(
    settings: Settings,
    database: Database,
    indexes: Indexes,
    records: Sequence[CollectionRecord],
    rebuilding: Rebuilding,
    metrics: Metrics,
) -> ReconciliationService:
    """Every registered collection against the database."""
    kinds = {_name(record): record.lane.value for record in records}

    def count(lane: str, kind: str, rows: int) -> None:
        metrics.reconciled_rows.labels(kinds[lane], kind).inc(rows)

    ingest = settings.ingest
    return ReconciliationService(
        ledger=database.ledger,
        lanes={
            _name(record): ReconciledLane(indexes.all[record.physical_name], record.domain or None)
            for record in records
        },
        rebuilding=rebuilding,
        values=ReconciliationValues(
            page=ingest.reconcile_page,
            batch=ingest.reconcile_batch,
            pause_s=ingest.reconcile_pause_s,
            interval_s=ingest.reconcile_interval_s,
        ),
        on_difference=count,
    )


def build_rebuilding(
    settings: Settings,
    records: Sequence[CollectionRecord],
    semantic: OpenEncoder,
    domains: Mapping[str, OpenEncoder],
    workers: Workers,
) -> RowRebuilding:
    """Rows made as indexing makes them."""
    encoders = {"": semantic.encoder, **{domain: opened.encoder for domain, opened in domains.items()}}
    return RowRebuilding(
        preparation=build_preparation(settings, semantic),
        workers=workers,
        lanes={
            _name(record): LaneEncoder(
                None if record.lane is Lane.SPARSE else encoders[record.domain], record.model_digest
            )
            for record in records
        },
        encode_batch=settings.embedding.batch_size,
    )


def build_preparation(settings: Settings, semantic: OpenEncoder) -> Preparation:
    """How documents are cut and analysed."""
    return Preparation(
        tokenizer=semantic.tokenizer,
        declared=settings.filters.fields,
        max_tokens=settings.chunking.max_tokens,
        overlap_tokens=settings.chunking.overlap_tokens,
        window_tokens=semantic.encoder.model.max_tokens,
    )


@asynccontextmanager
async def open_doctor(settings: Settings) -> AsyncIterator[Doctor | None]:
    """A doctor on these data, alone or beside a running service; None where nothing has ever been stored.

    Raises SchemaMismatch, DependencyError, LoadShed.
    """
    metrics = Metrics(version=__version__)
    guards = Guards(settings, metrics, ResilienceEvents(metrics))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings, guards, metrics))
        records = [record for record in await database.collections.active() if _is_served(settings, record)]
        if not {Lane.SEMANTIC, Lane.SPARSE} <= {record.lane for record in records}:
            yield None
            return
        connection, engine = await stack.enter_async_context(open_connection(settings))
        if engine is not None:
            await _started(engine)
        indexes = build_indexes(settings, connection, records, guards, metrics)
        await indexes.preparation.prepare()
        rebuilding = _RebuildingWhenNeeded(settings, records, guards, metrics, stack)
        reconciliation = build_reconciliation(settings, database, indexes, records, rebuilding, metrics)
        unhurried = replace(reconciliation.values, pause_s=0.0)
        yield Doctor(build_sweeping(settings, database, indexes), replace(reconciliation, values=unhurried))


async def _started(engine: EmbeddedMilvus) -> None:
    await engine.start()
    try:
        async with asyncio.timeout(_MILVUS_READY_S):
            await engine.wait_ready()
    except TimeoutError:
        raise MilvusConnectionError("milvus", "the embedded Milvus did not start") from None


class _RebuildingWhenNeeded:
    """Loads the models when the first row has to be made: most of the time none has."""

    def __init__(
        self,
        settings: Settings,
        records: Sequence[CollectionRecord],
        guards: Guards,
        metrics: Metrics,
        stack: AsyncExitStack,
    ) -> None:
        self._settings = settings
        self._records = records
        self._guards = guards
        self._metrics = metrics
        self._stack = stack
        self._opened: RowRebuilding | None = None

    async def rows(self, lane: str, versions: Sequence[tuple[Tenant, StagedVersion]]) -> list[IndexRow]:
        """As `RowRebuilding`."""
        if self._opened is None:
            self._opened = await self._open()
        return await self._opened.rows(lane, versions)

    async def _open(self) -> RowRebuilding:
        workers = AsyncExecutor("preparation", threads=_THREADS, max_waiting=_MAX_WAITING)
        self._stack.push_async_callback(workers.close, grace_s=1.0)
        semantic = await self._encoder(self._settings.embedding.model, Lane.SEMANTIC)
        domains = {
            domain: await self._encoder(model, Lane.DOMAIN) for domain, model in self._settings.domain.encoders.items()
        }
        return build_rebuilding(self._settings, self._records, semantic, domains, workers)

    async def _encoder(self, model: str, lane: Lane) -> OpenEncoder:
        opening = open_encoder(self._settings, model, lane, self._guards, self._metrics)
        return await self._stack.enter_async_context(opening)


def _is_served(settings: Settings, record: CollectionRecord) -> bool:
    return record.lane is not Lane.DOMAIN or record.domain in settings.domain.encoders


def _name(record: CollectionRecord) -> str:
    return f"{record.lane.value}.{record.domain}" if record.domain else record.lane.value
