"""An encoder over a model in this process: never on the event loop, small calls batched, what comes out checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from advanced_rag.adapters.embedding_model.local_model import LocalModel
from advanced_rag.adapters.embedding_model.vector_checks import DEPENDENCY, unit_rows
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.concurrency.micro_batcher import BatcherValues, BatchLimits, BatchReport, MicroBatcher, Priority
from advanced_rag.domain.documents import Matrix, Vector
from advanced_rag.exceptions import EmbeddingGenerationError, RAGException
from advanced_rag.ports.models import EmbeddingModel

# A token has about four letters of Latin script and one Han character (three bytes in UTF-8) has about one token.
_BYTES_PER_TOKEN: Final = 4
_SPECIAL_TOKENS: Final = 2


@dataclass(frozen=True, slots=True)
class LocalEncoderValues:
    """Sizes of batches and waits.

    A batch of documents is small because a query that comes while it runs waits for it, unless the model has a second
    stream: 512 tokens are two whole chunks and take about 30 ms on two cores.
    """

    query_batch: int = 32
    query_batch_tokens: int = 1_024
    document_batch: int = 32
    document_batch_tokens: int = 1_024
    max_wait_s: float = 0.002
    max_queued: int = 256
    close_grace_s: float = 2.0


class LocalEncoder:
    """`ports.models.Encoder`. Queries go before documents, and documents always get their share.

    Args:
        model: what the vectors are called.
        backend: what computes them.
        values: sizes of batches and waits.
        query_prompt: what the model wants before each query.
        document_prompt: likewise before each document.
        observer: told of every batch before it runs.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        backend: LocalModel,
        values: LocalEncoderValues | None = None,
        *,
        query_prompt: str = "",
        document_prompt: str = "",
        observer: Callable[[BatchReport], None] | None = None,
    ) -> None:
        limits = values or LocalEncoderValues()
        threads = backend.concurrency
        self._model = model
        self._backend = backend
        self._prompts = {Priority.HIGH: query_prompt, Priority.LOW: document_prompt}
        self._close_grace_s = limits.close_grace_s
        # The batcher never has more batches out than there are threads; what waits, waits in its queue.
        self._executor = AsyncExecutor(DEPENDENCY, threads=threads, max_waiting=threads)
        self._batcher: MicroBatcher[str, Vector] = MicroBatcher(
            self._process,
            cost_of=self._tokens_about,
            values=BatcherValues(
                high=BatchLimits(limits.query_batch, limits.query_batch_tokens),
                low=BatchLimits(limits.document_batch, limits.document_batch_tokens),
                max_wait_s=limits.max_wait_s,
                max_queued=limits.max_queued,
                max_running=threads,
                max_running_low=max(1, threads - 1),
            ),
            observer=observer,
        )

    @property
    def model(self) -> EmbeddingModel:
        """Which model answers."""
        return self._model

    @property
    def queued(self) -> int:
        """Texts that wait."""
        return self._batcher.queued

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), in order, each row of unit length. BulkheadFull when too many wait."""
        return await self._encode(texts, Priority.HIGH)

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        """The same for what is searched; waits for room in the queue, however many texts there are."""
        return await self._encode(texts, Priority.LOW)

    async def close(self) -> None:
        """Refuse what comes, let the running batches end."""
        await self._batcher.close(grace_s=self._close_grace_s)
        await self._executor.close(grace_s=self._close_grace_s)

    async def _encode(self, texts: Sequence[str], priority: Priority) -> Matrix:
        if not texts:
            return np.empty((0, self._model.dimensions), dtype=np.float32)
        prompt = self._prompts[priority]
        rows = await self._batcher.submit([prompt + text for text in texts] if prompt else texts, priority=priority)
        return np.stack(rows)

    async def _process(self, texts: Sequence[str]) -> Sequence[Vector]:
        return list(await self._executor.run(partial(self._checked, texts)))

    def _checked(self, texts: Sequence[str]) -> Matrix:
        """In a thread."""
        try:
            vectors = self._backend.encode(texts)
        except RAGException:
            raise
        except Exception as error:  # whatever a native library raises
            raise EmbeddingGenerationError(DEPENDENCY, f"the embedding model failed: {type(error).__name__}") from error
        return unit_rows(vectors, count=len(texts), dimensions=self._model.dimensions)

    def _tokens_about(self, text: str) -> int:
        return min(len(text.encode(errors="replace")) // _BYTES_PER_TOKEN + _SPECIAL_TOKENS, self._model.max_tokens)
