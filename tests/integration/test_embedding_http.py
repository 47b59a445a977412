from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping
from random import Random
from typing import Any

import numpy as np
import pytest

from advanced_rag.adapters.embedding_model.http_encoder import HttpEncoder
from advanced_rag.adapters.embedding_model.http_server import DEADLINE_HEADER, EmbeddingServerValues
from advanced_rag.adapters.guarded import GuardedEncoder
from advanced_rag.exceptions import (
    BulkheadFull,
    CircuitOpen,
    DependencyInvalid,
    DependencyTimeout,
    DependencyUnavailable,
    EmbeddingGenerationError,
    RAGException,
)
from advanced_rag.resilience.bulkhead import BulkheadValues
from advanced_rag.resilience.deadline import deadline_scope
from advanced_rag.resilience.guard import GuardValues, build_guard
from tests.contracts.encoder import EncoderContract
from tests.servers.embedding_server import DIMENSIONS, MODEL, EmbeddingServer, hashed_vector
from tests.servers.processes import free_port


@pytest.fixture(scope="module", params=["openai", "tei", "infinity"])
def any_server(request: pytest.FixtureRequest) -> Iterator[EmbeddingServer]:
    with EmbeddingServer(request.param, max_batch=8) as server:
        yield server


@pytest.fixture(scope="module")
def openai_server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer("openai") as server:
        yield server


@pytest.fixture
def server(openai_server: EmbeddingServer) -> EmbeddingServer:
    openai_server.forget()
    return openai_server


@pytest.fixture
async def encoder(server: EmbeddingServer) -> AsyncIterator[HttpEncoder]:
    encoder = await HttpEncoder.connect(EmbeddingServerValues(server.url, MODEL))
    server.forget()
    yield encoder
    await encoder.close()


class TestEveryDialect(EncoderContract):
    @pytest.fixture
    async def encoder(self, any_server: EmbeddingServer) -> AsyncIterator[HttpEncoder]:
        encoder = await HttpEncoder.connect(EmbeddingServerValues(any_server.url, MODEL))
        yield encoder
        await encoder.close()

    async def test_the_vectors_are_the_servers_in_unit_length(self, encoder: HttpEncoder) -> None:
        texts = [f"text {number}" for number in range(50)]
        expected = np.asarray([hashed_vector(text) for text in texts])
        vectors = await encoder.encode_documents(texts)
        assert np.allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


async def test_a_path_with_or_without_v1_is_the_same_server(server: EmbeddingServer) -> None:
    for url in (server.url, f"{server.url}/", f"{server.url}/v1", f"{server.url}/v1/embeddings"):
        encoder = await HttpEncoder.connect(EmbeddingServerValues(url, MODEL))
        assert encoder.model.dimensions == DIMENSIONS
        await encoder.close()


async def test_tei_tells_its_limits_and_is_asked_within_them() -> None:
    with EmbeddingServer("tei", max_batch=4) as server:
        encoder = await HttpEncoder.connect(EmbeddingServerValues(server.url, MODEL))
        server.forget()
        await encoder.encode_documents([str(number) for number in range(10)])
        assert encoder.model.max_tokens == 128
        assert sorted(len(seen["texts"]) for seen in server.seen()) == [2, 4, 4]
        await encoder.close()


async def test_a_batch_that_is_too_large_is_halved_and_the_size_remembered() -> None:
    with EmbeddingServer("openai", max_batch=5) as server:
        encoder = await HttpEncoder.connect(EmbeddingServerValues(server.url, MODEL, batch_size=16))
        server.forget()
        texts = [str(number) for number in range(16)]
        vectors = await encoder.encode_documents(texts)
        assert float(vectors[-1] @ np.asarray(hashed_vector("15"))) > 0
        assert max(len(seen["texts"]) for seen in server.seen()[1:]) <= 8
        server.forget()
        await encoder.encode_documents(texts)
        assert [len(seen["texts"]) for seen in server.seen()] == [4] * 4
        await encoder.close()


async def test_a_single_text_that_is_too_large_is_refused(server: EmbeddingServer, encoder: HttpEncoder) -> None:
    server.script({"status": 413})
    with pytest.raises(EmbeddingGenerationError) as caught:
        await encoder.encode_queries(["a"])
    assert not caught.value.transient


async def test_an_empty_text_is_sent_as_a_blank(server: EmbeddingServer, encoder: HttpEncoder) -> None:
    assert (await encoder.encode_documents(["", "a"])).shape == (2, DIMENSIONS)
    assert server.seen()[0]["texts"] == [" ", "a"]


@pytest.mark.parametrize("fault", [{"base64": True}, {"reversed": True}, {"base64": True, "reversed": True}])
async def test_any_order_and_base64_are_read(
    server: EmbeddingServer, encoder: HttpEncoder, fault: Mapping[str, Any]
) -> None:
    texts = ["keys", "harbour", "bridge"]
    plain = await encoder.encode_documents(texts)
    server.script(fault)
    assert np.allclose(await encoder.encode_documents(texts), plain, atol=1e-6)


@pytest.mark.req("R1.9")
@pytest.mark.req("R3.7")
@pytest.mark.parametrize(
    ("fault", "kind", "transient"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, DependencyUnavailable, True),
        ({"status": 500}, DependencyUnavailable, True),
        ({"status": 503, "body": "not json"}, DependencyUnavailable, True),
        ({"status": 424}, DependencyUnavailable, True),
        ({"status": 401, "body": ""}, EmbeddingGenerationError, False),
        ({"status": 307, "headers": {"Location": "/v1/embeddings"}}, EmbeddingGenerationError, False),
        ({"reset": True}, DependencyUnavailable, True),
        ({"truncated": True}, DependencyUnavailable, True),
        ({"count": -1}, DependencyInvalid, True),
        ({"count": 1}, DependencyInvalid, True),
        ({"value": math.nan}, DependencyInvalid, True),
        ({"value": math.inf}, DependencyInvalid, True),
        ({"value": None}, DependencyInvalid, True),
        ({"value": "a"}, DependencyInvalid, True),
        ({"zero": True}, DependencyInvalid, True),
        ({"ragged": True}, DependencyInvalid, True),
        ({"same_index": True}, DependencyInvalid, True),
        ({"raw": "<html></html>"}, DependencyInvalid, True),
        ({"raw": "{}"}, DependencyInvalid, True),
        ({"padding_bytes": 1_000_000}, DependencyInvalid, True),
        ({"headers": {"Content-Encoding": "gzip"}}, DependencyInvalid, True),
        ({"dimensions": DIMENSIONS + 1}, DependencyInvalid, False),
        ({"model": "another"}, DependencyInvalid, False),
    ],
)
async def test_every_fault_has_its_error(
    server: EmbeddingServer, encoder: HttpEncoder, fault: Mapping[str, Any], kind: type[RAGException], transient: bool
) -> None:
    server.script(fault)
    with pytest.raises(kind) as caught:
        await encoder.encode_documents(["a", "b"])
    assert getattr(caught.value, "transient") is transient  # noqa: B009  # of a kind that mypy cannot narrow
    assert len(server.seen()) == 1
    assert (await encoder.encode_documents(["a", "b"])).shape == (2, DIMENSIONS)


async def test_a_wait_that_the_server_asks_for_is_passed_on(server: EmbeddingServer, encoder: HttpEncoder) -> None:
    server.script({"status": 429, "headers": {"Retry-After": "7"}})
    with pytest.raises(DependencyUnavailable) as caught:
        await encoder.encode_queries(["a"])
    assert caught.value.retry_after_s == 7.0


@pytest.mark.req("R3.7")
@pytest.mark.parametrize("fault", [{"value": math.nan}, {"status": 424}])
async def test_what_went_wrong_twice_is_not_tried_a_third_time(server: EmbeddingServer, fault: dict[str, Any]) -> None:
    encoder = await HttpEncoder.connect(EmbeddingServerValues(server.url, MODEL))
    guarded = GuardedEncoder(encoder, build_guard("embedding", GUARD, random=Random(0)))
    server.forget()
    server.script(*[fault] * 5)
    with pytest.raises((DependencyInvalid, DependencyUnavailable)):
        await guarded.encode_queries(["a"])
    assert len(server.seen()) == 2
    await encoder.close()


@pytest.mark.req("R3.3")
async def test_the_server_is_told_what_is_left_of_the_deadline(server: EmbeddingServer, encoder: HttpEncoder) -> None:
    await encoder.encode_queries(["a"])
    with deadline_scope(2.0):
        await encoder.encode_queries(["a"])
    without, with_deadline = (seen["headers"] for seen in server.seen())
    assert DEADLINE_HEADER not in without
    assert 1_000 < int(with_deadline[DEADLINE_HEADER]) <= 2_000


async def test_the_key_goes_with_every_request_and_stays_out_of_sight(server: EmbeddingServer) -> None:
    values = EmbeddingServerValues(server.url, MODEL, api_key="canary-key")
    assert "canary-key" not in repr(values)
    encoder = await HttpEncoder.connect(values)
    assert server.seen()[-1]["headers"]["Authorization"] == "Bearer canary-key"
    await encoder.close()


async def test_a_slow_server_ends_in_a_timeout(server: EmbeddingServer) -> None:
    encoder = await HttpEncoder.connect(EmbeddingServerValues(server.url, MODEL, read_timeout_s=0.2))
    server.script({"slow_s": 1.0})
    with pytest.raises(DependencyTimeout):
        await encoder.encode_queries(["a"])
    await encoder.close()


async def test_no_free_connection_is_load_shed(server: EmbeddingServer) -> None:
    values = EmbeddingServerValues(
        server.url, MODEL, max_connections=1, pool_timeout_s=0.05, batch_size=1, requests_in_flight=2
    )
    encoder = await HttpEncoder.connect(values)
    server.script({"slow_s": 1.0})
    with pytest.raises(BulkheadFull):
        await encoder.encode_documents(["a", "b"])
    await encoder.close()


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(DependencyUnavailable):
        await HttpEncoder.connect(EmbeddingServerValues(f"http://127.0.0.1:{free_port()}", MODEL))


async def test_a_server_without_embeddings_is_no_embedding_server(server: EmbeddingServer) -> None:
    for values in (
        EmbeddingServerValues(f"{server.url}/elsewhere", MODEL),
        EmbeddingServerValues(server.url, MODEL, dialect="tei"),
        EmbeddingServerValues("nonsense", MODEL),
    ):
        with pytest.raises(EmbeddingGenerationError) as caught:
            await HttpEncoder.connect(values)
        assert not caught.value.transient


async def test_a_server_with_another_answer_is_refused_at_once(server: EmbeddingServer) -> None:
    server.script({"zero": True})
    with pytest.raises(DependencyInvalid):
        await HttpEncoder.connect(EmbeddingServerValues(server.url, MODEL, dialect="openai"))


GUARD = GuardValues(attempt_timeout_s=0.5, bulkhead=BulkheadValues(10, 20, 0.5))


@pytest.fixture
def guarded(encoder: HttpEncoder) -> GuardedEncoder:
    return GuardedEncoder(encoder, build_guard("embedding", GUARD, random=Random(0)))


@pytest.mark.req("R3.7")
@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"truncated": True}, {"count": -1}])
async def test_one_failure_is_tried_again_by_the_guard(
    server: EmbeddingServer, guarded: GuardedEncoder, fault: Mapping[str, Any]
) -> None:
    server.script(fault)
    assert len(await guarded.encode_queries(["a"])) == 1
    assert len(server.seen()) == 2


async def test_a_server_that_hangs_costs_the_attempt_timeout_only(
    server: EmbeddingServer, guarded: GuardedEncoder
) -> None:
    server.stop()
    try:
        with deadline_scope(1.0), pytest.raises(RAGException):
            await guarded.encode_queries(["a"])
    finally:
        server.cont()
    assert len(await guarded.encode_queries(["a"])) == 1


@pytest.mark.req("R1.3")
async def test_a_server_that_fails_for_long_is_left_alone(server: EmbeddingServer, guarded: GuardedEncoder) -> None:
    server.script(*[{"status": 500}] * 40)
    outcomes = []
    for _ in range(20):
        with pytest.raises(RAGException) as caught:
            await guarded.encode_queries(["a"])
        outcomes.append(caught.value)
    assert isinstance(outcomes[-1], CircuitOpen)
    assert len(server.seen()) <= 12
