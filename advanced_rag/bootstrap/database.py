"""The database of record: one pool, every store over it, each behind the database's guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from advanced_rag.adapters.guarded import (
    GuardedChunkLedger,
    GuardedCitedDocuments,
    GuardedCollectionRegistry,
    GuardedConversationStore,
    GuardedDocumentReader,
    GuardedDocumentStore,
    GuardedFeedbackStore,
    GuardedIdempotencyStore,
    GuardedJobQueue,
    GuardedJobStore,
    GuardedRetention,
    GuardedVersionSweep,
)
from advanced_rag.adapters.sql.chunk_ledger import SqlChunkLedger
from advanced_rag.adapters.sql.cited_documents import SqlCitedDocuments
from advanced_rag.adapters.sql.collection_registry import SqlCollectionRegistry
from advanced_rag.adapters.sql.conversation_store import SqlConversationStore
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.document_reader import SqlDocumentReader
from advanced_rag.adapters.sql.document_store import SqlDocumentStore
from advanced_rag.adapters.sql.engine import EngineValues
from advanced_rag.adapters.sql.feedback_store import SqlFeedbackStore
from advanced_rag.adapters.sql.idempotency_store import SqlIdempotencyStore
from advanced_rag.adapters.sql.job_store import SqlJobQueue, SqlJobStore
from advanced_rag.adapters.sql.migrate import migrate
from advanced_rag.adapters.sql.retention import SqlRetention
from advanced_rag.adapters.sql.schema_version import check_schema
from advanced_rag.adapters.sql.version_sweep import SqlVersionSweep
from advanced_rag.bootstrap.guards import Guards
from advanced_rag.config import Settings
from advanced_rag.ports.collections import CollectionRegistry
from advanced_rag.ports.conversations import CitedDocuments, ConversationStore, FeedbackStore, Retention
from advanced_rag.ports.documents import DocumentReader, DocumentStore, VersionSweep
from advanced_rag.ports.idempotency import IdempotencyStore
from advanced_rag.ports.jobs import JobQueue, JobStore
from advanced_rag.ports.ledger import ChunkLedger
from advanced_rag.resilience.guard import Guard
from advanced_rag.telemetry.metrics import Metrics

_GAUGE_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Database:
    """Every store over one pool. `lookups` is `reader` with the short limit of a retrieval's look-up (R5.1)."""

    pool: DbPool
    gauges: PoolGauges
    documents: DocumentStore
    reader: DocumentReader
    lookups: DocumentReader
    sweep: VersionSweep
    ledger: ChunkLedger
    collections: CollectionRegistry
    conversations: ConversationStore
    cited: CitedDocuments
    feedback: FeedbackStore
    retention: Retention
    jobs: JobStore
    job_queue: JobQueue
    keys: IdempotencyStore


def engine_values(settings: Settings) -> EngineValues:
    """What the pool is made of."""
    database = settings.database
    return EngineValues(
        url=settings.database_url,
        pool_size=database.pool_size,
        max_overflow=database.max_overflow,
        pool_timeout_s=database.pool_timeout_s,
        pool_recycle_s=database.pool_recycle_s,
        pre_ping=database.pre_ping,
        statement_timeout_s=database.statement_timeout_s,
        prepared_statements=database.prepared_statements,
        application_name=database.application_name,
    )


async def check_database(settings: Settings) -> None:
    """Bring an embedded database to this version's schema; look at any other. Raises SchemaMismatch."""
    if settings.database_is_embedded:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        await migrate(settings.database_url)
        return
    pool = DbPool(engine_values(settings))
    try:
        await check_schema(pool)
    finally:
        await pool.close()


@asynccontextmanager
async def open_database(settings: Settings, guards: Guards, metrics: Metrics) -> AsyncIterator[Database]:
    """The stores of this process.

    Raises SchemaMismatch; anything else wrong with the database shows when it is used.
    """
    await check_database(settings)
    pool = DbPool(engine_values(settings), _PoolMetrics(metrics))
    guard = guards.database()
    limit_s = settings.retrieval.database_timeout_s
    reader = SqlDocumentReader(pool)
    gauges = PoolGauges(pool, guard, metrics)
    metrics.read_before_exposition(gauges.set)
    try:
        yield Database(
            pool=pool,
            gauges=gauges,
            documents=GuardedDocumentStore(SqlDocumentStore(pool), guard),
            reader=GuardedDocumentReader(reader, guard),
            lookups=GuardedDocumentReader(reader, guard.limited(attempt_timeout_s=limit_s, total_s=limit_s)),
            sweep=GuardedVersionSweep(SqlVersionSweep(pool), guard),
            ledger=GuardedChunkLedger(SqlChunkLedger(pool), guard),
            collections=GuardedCollectionRegistry(SqlCollectionRegistry(pool), guard),
            conversations=GuardedConversationStore(SqlConversationStore(pool), guard),
            cited=GuardedCitedDocuments(SqlCitedDocuments(pool), guard),
            feedback=GuardedFeedbackStore(SqlFeedbackStore(pool), guard),
            retention=GuardedRetention(SqlRetention(pool), guard),
            jobs=GuardedJobStore(SqlJobStore(pool), guard),
            job_queue=GuardedJobQueue(SqlJobQueue(pool), guard),
            keys=GuardedIdempotencyStore(SqlIdempotencyStore(pool), guard),
        )
    finally:
        await pool.close()


@dataclass(frozen=True, slots=True)
class PoolGauges:
    """Shows how many connections there are and who waits for one: for the pool, or before it for a permit."""

    pool: DbPool
    guard: Guard
    metrics: Metrics

    def set(self) -> None:
        """As things are now; from any thread."""
        now = self.pool.snapshot()
        before = self.guard.bulkhead.waiting if self.guard.bulkhead is not None else 0
        values = {"size": now.size, "in_use": now.checked_out, "idle": now.idle, "waiting": now.waiting + before}
        for state, value in values.items():
            self.metrics.pool_connections.labels(state).set(value)

    async def run(self) -> None:
        """Until cancelled, every second: whoever scrapes asks one of several workers and is told of all."""
        while True:
            self.set()
            await asyncio.sleep(_GAUGE_INTERVAL_S)


class _PoolMetrics:
    """Counts what the pool hands out."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def checked_out(self, *, reused: bool) -> None:
        """One more connection was given."""
        self._metrics.pool_checkouts.labels("true" if reused else "false").inc()

    def refused(self) -> None:
        """Counted by the guard and the problem that the caller gets."""
