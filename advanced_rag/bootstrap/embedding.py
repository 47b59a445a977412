"""Encoders: the backend that is set, measured, behind a guard, cached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from advanced_rag.adapters.embedding_cache import CacheValues, CachingEncoder
from advanced_rag.adapters.embedding_model.fast_tokenizer import FastTokenizer
from advanced_rag.adapters.embedding_model.local_backend import LocalBackendValues, open_local_model
from advanced_rag.adapters.embedding_model.local_encoder import LocalEncoder, LocalEncoderValues
from advanced_rag.adapters.embedding_model.model_files import model_files
from advanced_rag.adapters.guarded import GuardedEncoder
from advanced_rag.adapters.measured import MeasuredEncoder
from advanced_rag.bootstrap.guards import EMBEDDING, Guards
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.config import Settings
from advanced_rag.domain.documents import Lane
from advanced_rag.exceptions import EmbeddingGenerationError
from advanced_rag.ports.models import Encoder, Tokenizer
from advanced_rag.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class OpenEncoder:
    """An encoder ready for use, with the tokenizer that its texts are counted by."""

    encoder: Encoder
    tokenizer: Tokenizer


class _CacheMetrics:
    """Counts the cache's hits and misses."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_lookup(self, *, hits: int, misses: int) -> None:
        """So many were found, so many not."""
        self._metrics.embedding_cache_hits.inc(hits)
        self._metrics.embedding_cache_misses.inc(misses)

    def on_store(self, *, size: int, evicted: int) -> None:  # noqa: ARG002  # the listener's signature
        """The cache holds so many now."""
        self._metrics.embedding_cache_size.set(size)


@asynccontextmanager
async def open_encoder(
    settings: Settings, name: str, lane: Lane, guards: Guards, metrics: Metrics
) -> AsyncIterator[OpenEncoder]:
    """The encoder of one lane. Reading the weights takes seconds: in a thread."""
    embedding = settings.embedding
    loading = AsyncExecutor("model-loading", threads=1, max_waiting=1)
    try:
        files = await loading.run(partial(model_files, name))
        backend = await open_local_model(files, _backend_values(settings), loading)
        tokenizer = await loading.run(partial(FastTokenizer, files.folder))
    finally:
        await loading.close(grace_s=0.0)
    metrics.declare_embedding(lane.value, backend.backend)
    local = LocalEncoder(
        files.model,
        backend,
        LocalEncoderValues(document_batch=embedding.batch_size),
        query_prompt=files.query_prompt,
        document_prompt=files.document_prompt,
    )
    try:
        yield OpenEncoder(_composed(settings, local, backend.backend, lane, guards, metrics), tokenizer)
    finally:
        await local.close()


def _backend_values(settings: Settings) -> LocalBackendValues:
    embedding = settings.embedding
    if embedding.backend == "http":
        raise EmbeddingGenerationError("embedding", "embedding.backend http is not in this version", transient=False)
    return LocalBackendValues(
        models_dir=embedding.models_dir or settings.data_dir / "models",
        backend=embedding.backend,
        threads=embedding.threads,
        torch_batch=embedding.batch_size,
    )


def _composed(
    settings: Settings, local: Encoder, backend: str, lane: Lane, guards: Guards, metrics: Metrics
) -> Encoder:
    """cache( guard( stopwatch( model )))."""
    cache = settings.cache.embeddings

    def observe(texts: int, seconds: float) -> None:
        metrics.embedding_duration.labels(lane.value, backend).observe(seconds)
        metrics.embedding_batch_size.observe(texts)

    name = EMBEDDING if lane is Lane.SEMANTIC else f"{EMBEDDING}.{local.model.name}"
    documents = {"encode_documents": guards.embedding_documents(name)}
    return CachingEncoder(
        GuardedEncoder(MeasuredEncoder(local, observe), guards.embedding(name), documents),
        CacheValues(
            enabled=cache.enabled and settings.features.enable_cache,
            max_size=cache.max_size,
            ttl_seconds=cache.ttl_seconds,
            eviction_policy=cache.eviction_policy,
        ),
        listener=_CacheMetrics(metrics),
    )
