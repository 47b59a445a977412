from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from advanced_rag.adapters.embedding_model.local_encoder import LocalEncoder, LocalEncoderValues
from advanced_rag.domain.documents import Matrix
from advanced_rag.exceptions import BulkheadFull, DependencyInvalid, EmbeddingGenerationError, LoadShed
from advanced_rag.ports.models import EmbeddingModel
from tests.contracts.encoder import EncoderContract

MODEL = EmbeddingModel("words", "digest", 16, 64)
POISON = "poison"


class HashingModel:
    """A local model whose vectors are sums of words; it can be held up, and tells what it was given."""

    backend = "hashing"

    def __init__(self, concurrency: int = 1) -> None:
        self.concurrency = concurrency
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.spoil: Callable[[Matrix], Matrix] = lambda vectors: vectors

    def encode(self, texts: Sequence[str]) -> Matrix:
        self.batches.append(list(texts))
        self.threads.add(threading.get_ident())
        assert self.go_on.wait(10)
        if POISON in texts:
            raise RuntimeError("native failure")
        vectors = np.full((len(texts), MODEL.dimensions), 0.01, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, hashlib.sha256(word.strip("?").encode()).digest()[0] % MODEL.dimensions] += 1
        return self.spoil(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture
def local_model() -> HashingModel:
    return HashingModel()


@pytest.fixture
async def encoder(local_model: HashingModel) -> AsyncIterator[LocalEncoder]:
    encoder = LocalEncoder(MODEL, local_model)
    yield encoder
    local_model.go_on.set()
    await encoder.close()


class TestContract(EncoderContract):
    pass


async def started(model: HashingModel, batches: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(model.batches) < batches:
            await asyncio.sleep(0)


async def test_the_event_loop_computes_nothing(encoder: LocalEncoder, local_model: HashingModel) -> None:
    await encoder.encode_queries(["a"])
    await encoder.encode_documents(["b"])
    assert threading.get_ident() not in local_model.threads


async def test_queries_that_come_together_are_one_batch(encoder: LocalEncoder, local_model: HashingModel) -> None:
    local_model.go_on.clear()
    calls = [asyncio.create_task(encoder.encode_queries([f"number {number}"])) for number in range(9)]
    await started(local_model)
    await asyncio.sleep(0)
    local_model.go_on.set()
    await asyncio.gather(*calls)
    assert len(local_model.batches) <= 2


async def test_a_query_goes_before_the_documents_that_wait(encoder: LocalEncoder, local_model: HashingModel) -> None:
    local_model.go_on.clear()
    documents = asyncio.create_task(encoder.encode_documents([f"document {number} " * 50 for number in range(40)]))
    await started(local_model)
    query = asyncio.create_task(encoder.encode_queries(["query"]))
    await asyncio.sleep(0)
    local_model.go_on.set()
    await asyncio.gather(documents, query)
    assert local_model.batches[1] == ["query"]


async def test_one_bad_text_fails_alone(encoder: LocalEncoder, local_model: HashingModel) -> None:
    local_model.go_on.clear()
    first = asyncio.create_task(encoder.encode_queries(["first"]))
    await started(local_model)
    calls = [asyncio.create_task(encoder.encode_queries([text])) for text in ("a", POISON, "b", "c")]
    await asyncio.sleep(0)
    local_model.go_on.set()
    a, poisoned, b, c = await asyncio.gather(*calls, return_exceptions=True)
    await first
    assert isinstance(poisoned, EmbeddingGenerationError)
    assert all(isinstance(vectors, np.ndarray) for vectors in (a, b, c))


@pytest.mark.req("R1.9")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda vectors: vectors[:-1],
        lambda vectors: vectors[:, :-1],
        lambda vectors: vectors * np.nan,
        lambda vectors: vectors * 0,
    ],
)
async def test_vectors_that_cannot_be_used_are_refused(
    encoder: LocalEncoder, local_model: HashingModel, spoil: Callable[[Matrix], Matrix]
) -> None:
    local_model.spoil = spoil
    with pytest.raises(DependencyInvalid):
        await encoder.encode_queries(["a"])


@pytest.mark.req("R4.6")
async def test_queries_beyond_the_queue_are_shed(local_model: HashingModel) -> None:
    encoder = LocalEncoder(MODEL, local_model, LocalEncoderValues(max_queued=8))
    local_model.go_on.clear()
    calls = [asyncio.create_task(encoder.encode_queries([str(number)])) for number in range(60)]
    await started(local_model)
    local_model.go_on.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, BulkheadFull) for outcome in outcomes)
    assert all(isinstance(outcome, np.ndarray | BulkheadFull) for outcome in outcomes)
    await encoder.close()


async def test_any_number_of_documents_waits_for_room(local_model: HashingModel) -> None:
    encoder = LocalEncoder(MODEL, local_model, LocalEncoderValues(max_queued=8))
    assert len(await encoder.encode_documents([str(number) for number in range(500)])) == 500
    await encoder.close()


async def test_prompts_go_before_the_texts(local_model: HashingModel) -> None:
    encoder = LocalEncoder(MODEL, local_model, query_prompt="query: ", document_prompt="passage: ")
    await encoder.encode_queries(["a"])
    await encoder.encode_documents(["a"])
    assert local_model.batches == [["query: a"], ["passage: a"]]
    await encoder.close()


async def test_a_closed_encoder_refuses(local_model: HashingModel) -> None:
    encoder = LocalEncoder(MODEL, local_model)
    await encoder.close()
    with pytest.raises(LoadShed):
        await encoder.encode_queries(["a"])


@pytest.mark.req("R2.5")
async def test_cancelled_calls_never_run_more_threads_than_there_are(local_model: HashingModel) -> None:
    encoder = LocalEncoder(MODEL, local_model)
    local_model.go_on.clear()
    for batch in range(20):
        call = asyncio.create_task(encoder.encode_queries(["a"]))
        if batch == 0:
            await started(local_model)
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(local_model.batches) == 1
    local_model.go_on.set()
    assert len(await encoder.encode_queries(["b"])) == 1
    await encoder.close()
