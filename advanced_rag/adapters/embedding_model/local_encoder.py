"""An encoder over a model in this process: never on the event loop, and what comes out is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.domain.documents import Matrix
from advanced_rag.exceptions import DependencyInvalid, DependencyTimeout, EmbeddingGenerationError
from advanced_rag.ports.models import EmbeddingModel

_NAME: Final = "embedding"
_CLOSE_GRACE_S: Final = 2.0


class LocalEncoder:
    """`ports.models.Encoder`. Queries have a thread of their own, so that they never wait for a batch of documents."""

    def __init__(
        self,
        model: EmbeddingModel,
        encode: Callable[[Sequence[str]], Matrix],
        *,
        queries: AsyncExecutor,
        documents: AsyncExecutor,
    ) -> None:
        self._model = model
        self._encode = encode
        self._queries = queries
        self._documents = documents

    @property
    def model(self) -> EmbeddingModel:
        """Which model answers."""
        return self._model

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), rows of unit length."""
        return await self._run(self._queries, texts)

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), rows of unit length."""
        return await self._run(self._documents, texts)

    async def close(self) -> None:
        """Let the running batches end."""
        for executor in (self._queries, self._documents):
            await executor.close(grace_s=_CLOSE_GRACE_S)

    async def _run(self, executor: AsyncExecutor, texts: Sequence[str]) -> Matrix:
        try:
            vectors = await executor.run(lambda: self._encode(texts))
        except TimeoutError as error:
            raise DependencyTimeout(_NAME, limit_s=0.0) from error
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EmbeddingGenerationError(_NAME, f"the model failed: {type(error).__name__}") from error
        if vectors.shape != (len(texts), self._model.dimensions) or not np.isfinite(vectors).all():
            raise DependencyInvalid(_NAME, "the model returned vectors of the wrong shape, or not numbers")
        return vectors
