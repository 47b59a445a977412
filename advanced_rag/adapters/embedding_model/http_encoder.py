"""An encoder over an embedding server: OpenAI's `/v1/embeddings`, TEI's `/embed`, Infinity's `/embeddings`.

One call is one attempt: retries, breaker and attempt timeout are its guard's. Only a batch that the server finds too
large is sent again, in halves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, Self

import numpy as np
from pydantic_core import from_json

from advanced_rag.adapters.embedding_model.http_dialects import Answer, Dialect, OpenAiDialect, TeiDialect, TeiInfo
from advanced_rag.adapters.embedding_model.http_failures import error_text, is_too_many_texts, refusal
from advanced_rag.adapters.embedding_model.http_server import EmbeddingServer, EmbeddingServerValues, ServerAnswer
from advanced_rag.adapters.embedding_model.vector_checks import DEPENDENCY, unit_rows
from advanced_rag.concurrency.async_executor import gather_bounded
from advanced_rag.domain.documents import Matrix
from advanced_rag.exceptions import DependencyInvalid, DependencyUnavailable, EmbeddingGenerationError
from advanced_rag.ports.models import EmbeddingModel

_PROBE: Final = "probe"
_MAX_DIMENSIONS: Final = 16_384  # until the dimension is known, for the size of an answer
_BYTES_PER_NUMBER: Final = 32  # a float64 printed in full, its comma and blanks
_ENVELOPE_BYTES: Final = 65_536
_NOT_HERE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
_EMPTY: Final = " "  # servers refuse an empty text


class _Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, answer: ServerAnswer) -> None:
        super().__init__(answer.status)
        self.status = answer.status
        self.headers = answer.headers
        self.text = error_text(answer.content)


class HttpEncoder:
    """`ports.models.Encoder`; made by `connect`. Also raises DependencyUnavailable and DependencyTimeout.

    An answer of another dimension, or that names another model than the first one did, is never used.
    """

    def __init__(
        self, server: EmbeddingServer, values: EmbeddingServerValues, dialect: Dialect, model: EmbeddingModel
    ) -> None:
        self._server = server
        self._values = values
        self._dialect = dialect
        self._model = model
        self._served_model: str | None = None
        self._batch_size = values.batch_size
        self._unusable_in_a_row = 0

    @classmethod
    async def connect(cls, values: EmbeddingServerValues) -> Self:
        """Ask the server what it is and how long its vectors are.

        Raises:
            DependencyUnavailable, DependencyTimeout: it cannot be asked now.
            EmbeddingGenerationError: it can, and serves no embeddings there, or not to us.
            DependencyInvalid: its answer is no vector.
        """
        server = EmbeddingServer(values)
        try:
            return await cls._found(server, values)
        except BaseException:
            await server.close()
            raise

    @classmethod
    async def _found(cls, server: EmbeddingServer, values: EmbeddingServerValues) -> Self:
        info = None if values.dialect == "openai" else await _tei_info(server, values)
        if info is None and values.dialect == "tei":
            raise EmbeddingGenerationError(DEPENDENCY, "the embedding server is not TEI", transient=False)
        for dialect in _dialects(values, info):
            encoder = cls(server, values, dialect, EmbeddingModel(values.model, "", 0, values.max_tokens))
            if await encoder._learn(info):
                return encoder
        raise EmbeddingGenerationError(DEPENDENCY, "the embedding server serves no embeddings there", transient=False)

    @property
    def model(self) -> EmbeddingModel:
        """Which model answers."""
        return self._model

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        """(len(texts), dimensions), in order, each row of unit length."""
        return await self._encode([self._values.query_prompt + text for text in texts])

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        """The same for what is searched, a few requests at a time."""
        return await self._encode([self._values.document_prompt + text for text in texts])

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _encode(self, texts: Sequence[str]) -> Matrix:
        if not texts:
            return np.empty((0, self._model.dimensions), dtype=np.float32)
        size = self._batch_size
        batches = [texts[first : first + size] for first in range(0, len(texts), size)]
        calls = [partial(self._batch, batch) for batch in batches]
        return np.concatenate(await gather_bounded(calls, limit=self._values.requests_in_flight))

    async def _batch(self, texts: Sequence[str]) -> Matrix:
        try:
            answer = await self._ask(texts, dimensions=self._model.dimensions)
        except _Refused as refused:
            if len(texts) > 1 and is_too_many_texts(refused.status, refused.text):
                half = (len(texts) + 1) // 2
                self._batch_size = min(self._batch_size, half)
                return np.concatenate([await self._batch(texts[:half]), await self._batch(texts[half:])])
            raise self._judged(refused) from None
        except DependencyInvalid as error:
            raise self._repeated(error) from error
        return self._checked(answer, len(texts))

    def _checked(self, answer: Answer, count: int) -> Matrix:
        if answer.model != self._served_model:
            raise DependencyInvalid(DEPENDENCY, "the embedding server serves another model now", transient=False)
        try:
            vectors = unit_rows(answer.vectors, count=count, dimensions=self._model.dimensions)
        except DependencyInvalid as error:
            raise self._repeated(error) from error
        self._unusable_in_a_row = 0
        return vectors

    def _judged(self, refused: _Refused) -> Exception:
        error = refusal(refused.status, refused.headers)
        if refused.status == HTTPStatus.FAILED_DEPENDENCY and isinstance(error, DependencyUnavailable):
            return self._repeated(error)
        return error

    def _repeated(self, error: DependencyInvalid | DependencyUnavailable) -> DependencyInvalid | DependencyUnavailable:
        """What went wrong twice running is not worth a third attempt (reliability R3.7)."""
        self._unusable_in_a_row += 1
        if self._unusable_in_a_row > 1:
            error.transient = False
        return error

    async def _ask(self, texts: Sequence[str], *, dimensions: int) -> Answer:
        """One request. Raises _Refused for any status but 200, otherwise what `Encoder` may raise."""
        body = json.dumps(self._dialect.request([text or _EMPTY for text in texts]), ensure_ascii=False)
        max_bytes = _ENVELOPE_BYTES + len(texts) * dimensions * _BYTES_PER_NUMBER
        answer = await self._server.post(self._dialect.url, body.encode(errors="replace"), max_bytes=max_bytes)
        if answer.status != HTTPStatus.OK:
            raise _Refused(answer)
        try:
            parsed = from_json(answer.content)  # five to ten times as fast as json, and on the event loop
        except ValueError as error:
            raise DependencyInvalid(DEPENDENCY, "the embedding server's answer is no JSON") from error
        return self._dialect.answer(parsed, len(texts))

    async def _learn(self, info: TeiInfo | None) -> bool:
        """Ask for one vector; False where nothing listens at this URL."""
        try:
            answer = await self._ask([_PROBE], dimensions=_MAX_DIMENSIONS)
        except _Refused as refused:
            if refused.status in _NOT_HERE:
                return False
            raise refusal(refused.status, refused.headers) from None
        (vector,) = answer.vectors
        dimensions = len(np.asarray(vector))
        unit_rows([vector], count=1, dimensions=dimensions)
        self._served_model = answer.model
        if info is not None:
            self._batch_size = min(self._batch_size, info.max_batch)
        self._model = _described(self._values, dimensions, answer.model, info)
        return True


async def _tei_info(server: EmbeddingServer, values: EmbeddingServerValues) -> TeiInfo | None:
    answer = await server.get(f"{_root(values.base_url)}/info", max_bytes=_ENVELOPE_BYTES)
    try:
        return TeiInfo.of(from_json(answer.content)) if answer.status == HTTPStatus.OK else None
    except ValueError:
        return None


def _root(base_url: str) -> str:
    return base_url.rstrip("/").removesuffix("/v1")


def _dialects(values: EmbeddingServerValues, info: TeiInfo | None) -> list[Dialect]:
    """What to try, in order."""
    base = values.base_url.rstrip("/")
    if info is not None:
        return [TeiDialect(f"{_root(base)}/embed")]
    if base.endswith("/embeddings"):
        return [OpenAiDialect(base, values.model)]
    paths = ("/embeddings",) if base.endswith("/v1") else ("/v1/embeddings", "/embeddings")  # Infinity has no /v1
    return [OpenAiDialect(base + path, values.model) for path in paths]


def _described(
    values: EmbeddingServerValues, dimensions: int, served: str | None, info: TeiInfo | None
) -> EmbeddingModel:
    identity = ["http", values.model, served, dimensions, values.query_prompt, values.document_prompt]
    if info is not None:
        identity += [info.model_id, info.model_sha]
    return EmbeddingModel(
        name=values.model,
        digest=hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
        dimensions=dimensions,
        max_tokens=(info.max_tokens if info is not None else None) or values.max_tokens,
    )
