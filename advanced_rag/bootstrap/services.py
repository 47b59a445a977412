"""Every part of the service, opened from the outside in and closed in reverse order."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from advanced_rag.adapters.disk_room import DiskRoom
from advanced_rag.adapters.milvus.engine import EmbeddedMilvus
from advanced_rag.bootstrap.database import Database, open_database
from advanced_rag.bootstrap.embedding import OpenEncoder, open_encoder
from advanced_rag.bootstrap.guards import Guards
from advanced_rag.bootstrap.health import build_health
from advanced_rag.bootstrap.indexes import Indexes, build_indexes, open_connection
from advanced_rag.bootstrap.jobs import JobParts, build_jobs
from advanced_rag.bootstrap.reconciliation import (
    build_preparation,
    build_rebuilding,
    build_reconciliation,
    build_sweeping,
)
from advanced_rag.bootstrap.uploads import open_uploads
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.config import Settings
from advanced_rag.domain.documents import Lane
from advanced_rag.feature_flags import FeatureFlags
from advanced_rag.ports.collections import CollectionRecord
from advanced_rag.ports.storage import StorageRoom
from advanced_rag.services.amending import AmendingService
from advanced_rag.services.answering import AnsweringService, AnsweringValues
from advanced_rag.services.conversations import ConversationsService
from advanced_rag.services.documents import DocumentsService
from advanced_rag.services.feedback import FeedbackService
from advanced_rag.services.health import HealthService
from advanced_rag.services.idempotency import IdempotencyService
from advanced_rag.services.indexing import IndexingService, IndexingValues
from advanced_rag.services.ingest_outcome import IngestOutcome
from advanced_rag.services.ingest_progress import IngestProgress
from advanced_rag.services.jobs import JobsService
from advanced_rag.services.lane_search import DenseLane, LaneSearch
from advanced_rag.services.removal import RemovalService
from advanced_rag.services.retention import RetentionService
from advanced_rag.services.retrieval import RetrievalService, RetrievalValues
from advanced_rag.services.uploads import UploadService
from advanced_rag.services.version_map import VersionMap
from advanced_rag.telemetry.metrics import Metrics
from advanced_rag.telemetry.resilience_events import ResilienceEvents

logger = logging.getLogger(__name__)

_PREPARATION_THREADS = 1  # cutting and analysing hold the interpreter: a second thread would only take turns
_PREPARATION_QUEUE = 64
_FIRST_PREPARATION_S = 60.0  # how long a start waits for Milvus before it goes on without (R5.4)


@dataclass(frozen=True, slots=True)
class Services:
    """What the API calls."""

    retrieval: RetrievalService
    indexing: IndexingService
    uploads: UploadService
    job_parts: JobParts
    documents: DocumentsService
    amending: AmendingService
    removal: RemovalService
    answering: AnsweringService
    conversations: ConversationsService
    feedback: FeedbackService
    health: HealthService

    @property
    def jobs(self) -> JobsService:
        """Jobs as their tenant sees them."""
        return self.job_parts.jobs

    @property
    def keys(self) -> IdempotencyService:
        """Requests with a key."""
        return self.job_parts.keys


@asynccontextmanager
async def open_services(settings: Settings, metrics: Metrics) -> AsyncIterator[Services]:
    """Build every part once. Raises SchemaMismatch, EmbeddingGenerationError: without these nothing can be served."""
    guards = Guards(settings, metrics, ResilienceEvents(metrics))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings, guards, metrics))
        connection, engine = await stack.enter_async_context(open_connection(settings))
        prepare: asyncio.Future[Callable[[], Awaitable[None]]] = asyncio.get_running_loop().create_future()
        if engine is not None:  # it starts while the model is loaded
            await engine.start(partial(_when_known, prepare))
        semantic = await stack.enter_async_context(
            open_encoder(settings, settings.embedding.model, Lane.SEMANTIC, guards, metrics)
        )
        domains = {
            domain: await stack.enter_async_context(open_encoder(settings, model, Lane.DOMAIN, guards, metrics))
            for domain, model in settings.domain.encoders.items()
        }
        records = await _records(database, semantic, domains)
        indexes = build_indexes(settings, connection, records, guards, metrics)
        workers = AsyncExecutor("preparation", threads=_PREPARATION_THREADS, max_waiting=_PREPARATION_QUEUE)
        stack.push_async_callback(workers.close, grace_s=1.0)
        uploads = await stack.enter_async_context(open_uploads(settings, guards, metrics))
        services = _composed(settings, database, indexes, semantic, domains, guards, metrics, workers, uploads)
        background = await stack.enter_async_context(_background())
        prepare.set_result(indexes.preparation.prepare)
        if engine is None:
            background.append(asyncio.create_task(indexes.preparation.keep_trying(), name="prepare-collections"))
        await _first_preparation(indexes, engine)
        await stack.enter_async_context(services.job_parts.running())
        sweeping = build_sweeping(settings, database, indexes)
        rebuilding = build_rebuilding(settings, records, semantic, domains, workers)
        reconciliation = build_reconciliation(settings, database, indexes, records, rebuilding, metrics)
        background.append(asyncio.create_task(sweeping.run(), name="sweep"))
        background.append(asyncio.create_task(reconciliation.run(), name="reconciliation"))
        background.append(asyncio.create_task(services.health.run(), name="probe"))
        background.append(asyncio.create_task(database.gauges.run(), name="pool-gauges"))
        if settings.sessions.retention_days:
            background.append(asyncio.create_task(_retention(settings, database).run(), name="retention"))
        yield services


async def _when_known(prepare: asyncio.Future[Callable[[], Awaitable[None]]]) -> None:
    await (await asyncio.shield(prepare))()


@asynccontextmanager
async def _background() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks that run as long as the process: owned here, cancelled and awaited at the end."""
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _records(
    database: Database, semantic: OpenEncoder, domains: Mapping[str, OpenEncoder]
) -> list[CollectionRecord]:
    """The active collection of every lane and domain, registered now where there is none."""
    model = semantic.encoder.model
    registry = database.collections
    records = [
        await registry.register(lane, "", model_digest=model.digest, dimension=model.dimensions)
        for lane in (Lane.SEMANTIC, Lane.SPARSE)
    ]
    for domain, opened in domains.items():
        own = opened.encoder.model
        records.append(await registry.register(Lane.DOMAIN, domain, model_digest=own.digest, dimension=own.dimensions))
    for record in records:
        if record.lane is Lane.SEMANTIC and record.model_digest != model.digest:
            logger.critical("the semantic collection holds vectors of another model: reindex it")
    return records


async def _first_preparation(indexes: Indexes, engine: EmbeddedMilvus | None) -> None:
    """Ready means loaded and searched once; a Milvus that is down does not keep the service from starting."""
    try:
        async with asyncio.timeout(_FIRST_PREPARATION_S):
            if engine is not None:
                await engine.wait_ready()
            await indexes.preparation.done.wait()
    except TimeoutError:
        logger.warning("Milvus is not ready; serving without it until it is")


def _composed(
    settings: Settings,
    database: Database,
    indexes: Indexes,
    semantic: OpenEncoder,
    domains: Mapping[str, OpenEncoder],
    guards: Guards,
    metrics: Metrics,
    workers: AsyncExecutor,
    uploads_into: Callable[[IndexingService], UploadService],
) -> Services:
    features = FeatureFlags(**settings.features.model_dump())
    versions = VersionMap()
    semantic_lane = DenseLane(semantic.encoder, indexes.semantic)
    domain_lanes = {domain: DenseLane(opened.encoder, indexes.domains[domain]) for domain, opened in domains.items()}
    retrieval = RetrievalService(
        lanes=LaneSearch(
            semantic=semantic_lane,
            sparse=indexes.sparse,
            domains=domain_lanes,
            cutoff_s=settings.retrieval.lane_cutoff_s,
            cutoff_after_first_s=settings.retrieval.lane_cutoff_after_first_s,
        ),
        reader=database.lookups,
        passages=indexes.passages,
        versions=versions,
        declared=settings.filters.fields,
        features=features,
        values=RetrievalValues(
            fusion=settings.retrieval.fusion,
            weights=settings.retrieval.weights,
            candidates=settings.retrieval.candidates,
            grace_s=settings.ingest.grace_s,
            allow_degraded_reads=settings.retrieval.degraded_reads == "allow",
        ),
    )

    def record(outcomes: Sequence[IngestOutcome]) -> None:
        for outcome in outcomes:
            metrics.ingested_documents.labels(outcome.status.value).inc()
            metrics.ingested_chunks.inc(outcome.chunks)

    indexing = IndexingService(
        store=database.documents,
        preparation=build_preparation(settings, semantic),
        workers=workers,
        semantic=semantic_lane,
        sparse=indexes.sparse,
        domains=domain_lanes,
        versions=versions,
        values=IndexingValues(
            documents_per_group=settings.ingest.documents_per_group,
            groups_in_flight=settings.ingest.groups_in_flight,
            encode_batch=settings.embedding.batch_size,
            lease_s=settings.ingest.lease_s,
        ),
        listener=IngestProgress(interval_s=settings.ingest.progress_interval_s, record=record),
        room=_room(settings),
    )
    answering = AnsweringService(
        retrieval=retrieval,
        encoder=semantic.encoder,
        tokenizer=semantic.tokenizer,
        workers=workers,
        conversations=database.conversations,
        values=AnsweringValues(
            max_sentences=settings.answers.max_sentences,
            max_candidates=settings.answers.max_candidates,
            grounded_score=settings.answers.grounded_score,
            require_grounding=settings.answers.require_grounding,
        ),
    )
    documents = DocumentsService(database.reader, settings.filters.fields)
    return Services(
        retrieval=retrieval,
        indexing=indexing,
        uploads=uploads_into(indexing),
        job_parts=build_jobs(settings, database, indexing, workers),
        documents=documents,
        amending=AmendingService(indexing, database.reader),
        removal=RemovalService(documents, database.documents, versions),
        answering=answering,
        conversations=ConversationsService(database.conversations, database.cited),
        feedback=FeedbackService(database.feedback, lambda vote: metrics.feedback.labels(vote.value).inc()),
        health=build_health(settings, database, indexes, guards, features),
    )


def _room(settings: Settings) -> StorageRoom:
    storage = settings.storage
    folders = (settings.data_dir, Path(tempfile.gettempdir()))
    return DiskRoom(folders, storage.min_free_bytes, storage.min_free_ratio)


def _retention(settings: Settings, database: Database) -> RetentionService:
    sessions = settings.sessions
    return RetentionService(
        retention=database.retention,
        retention_days=sessions.retention_days,
        batch=sessions.retention_batch,
        interval_s=sessions.retention_interval_s,
    )
