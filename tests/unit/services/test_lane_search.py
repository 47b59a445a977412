"""The lanes side by side: what answers goes on, what does not is named, nobody is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from advanced_rag.domain.documents import ChunkId, DocumentId, Hit, IndexRow, Lane, Matrix, Tenant, Vector
from advanced_rag.domain.filters import Filter
from advanced_rag.exceptions import (
    BulkheadFull,
    CircuitOpen,
    DependencyInvalid,
    DependencyTimeout,
    EmbeddingGenerationError,
    MilvusConnectionError,
    RAGException,
)
from advanced_rag.ports.indexes import Probe
from advanced_rag.ports.models import EmbeddingModel
from advanced_rag.resilience.outcomes import was_cut_off
from advanced_rag.services.lane_search import DenseLane, LaneRequest, LaneSearch


class Scripted:
    """An index and an encoder that answers, fails or hangs as told, and notes how it was given up."""

    model = EmbeddingModel("scripted", "digest", 2, 256)

    def __init__(self, name: str, fault: RAGException | None = None, *, hangs: bool = False) -> None:
        self.name, self.fault, self.hangs = name, fault, hangs
        self.calls = 0
        self.cut_off = False

    async def _turn(self) -> None:
        self.calls += 1
        if self.hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                self.cut_off = was_cut_off(error)
                raise
        if self.fault is not None:
            raise self.fault

    async def search(self, probe: Probe, *, tenant: Tenant, limit: int, where: Filter | None = None) -> list[Hit]:
        await self._turn()
        return [Hit(ChunkId(f"{self.name}-{limit}"), 1.0, DocumentId(tenant), 1)]

    async def encode_queries(self, texts: Sequence[str]) -> Matrix:
        await self._turn()
        return np.ones((len(texts), 2), dtype=np.float32)

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        return await self.encode_queries(texts)

    async def upsert(self, rows: Sequence[IndexRow]) -> None: ...

    async def delete(self, chunk_ids: Sequence[ChunkId]) -> None: ...

    async def present(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
        return set(chunk_ids)

    async def vectors(self, chunk_ids: Sequence[ChunkId]) -> dict[ChunkId, Vector]:
        return {}

    async def page_of_ids(self, after: ChunkId | None, limit: int) -> list[ChunkId]:
        return []


def request(*lanes: Lane, text: str = "spare keys", domain: str | None = None) -> LaneRequest:
    return LaneRequest(Tenant("acme"), text, lanes, domain, None, 10)


def search(encoder: Scripted, semantic: Scripted, sparse: Scripted, domain: Scripted | None = None) -> LaneSearch:
    return LaneSearch(
        semantic=DenseLane(encoder, semantic),
        sparse=sparse,
        domains={"legal": DenseLane(encoder, domain)} if domain else {},
        cutoff_s=0.05,
        cutoff_after_first_s=0.01,
    )


BOTH = (Lane.SEMANTIC, Lane.SPARSE)


async def test_all_lanes_that_are_asked_answer() -> None:
    encoder, semantic, sparse, domain = (Scripted(name) for name in ("encoder", "semantic", "sparse", "domain"))
    answers = await search(encoder, semantic, sparse, domain).search(request(*Lane, domain="legal"))
    assert {lane: hits[0].chunk_id for lane, hits in answers.rankings.items()} == {
        Lane.SEMANTIC: "semantic-10",
        Lane.SPARSE: "sparse-10",
        Lane.DOMAIN: "domain-10",
    }
    assert answers.degraded == ()
    assert {"embedding", "semantic", "sparse", "domain"} <= answers.timings_ms.keys()


async def test_a_lane_that_is_not_asked_is_not_called() -> None:
    encoder, semantic, sparse = Scripted("encoder"), Scripted("semantic"), Scripted("sparse")
    await search(encoder, semantic, sparse).search(request(Lane.SPARSE))
    assert (encoder.calls, semantic.calls, sparse.calls) == (0, 0, 1)


async def test_a_query_of_nothing_but_stop_words_has_no_sparse_hits_and_costs_no_call() -> None:
    sparse = Scripted("sparse")
    answers = await search(Scripted("encoder"), Scripted("semantic"), sparse).search(request(*BOTH, text="the of and"))
    assert answers.rankings[Lane.SPARSE] == []
    assert sparse.calls == 0
    assert answers.degraded == ()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (MilvusConnectionError("milvus.sparse"), "unavailable"),
        (DependencyTimeout("milvus.sparse", limit_s=5), "timeout"),
        (DependencyInvalid("milvus.sparse"), "invalid"),
        (CircuitOpen("milvus.sparse", retry_after_s=3), "open"),
        (BulkheadFull("milvus.sparse"), "busy"),
    ],
)
@pytest.mark.req("R2.4")
async def test_a_lane_that_fails_is_left_out_and_named(fault: RAGException, reason: str) -> None:
    answers = await search(Scripted("encoder"), Scripted("semantic"), Scripted("sparse", fault)).search(request(*BOTH))
    assert set(answers.rankings) == {Lane.SEMANTIC}
    assert answers.degraded == (f"sparse:{reason}",)


async def test_without_embeddings_the_sparse_lane_answers_alone() -> None:
    encoder = Scripted("encoder", EmbeddingGenerationError("embedding"))
    answers = await search(encoder, Scripted("semantic"), Scripted("sparse")).search(request(*BOTH))
    assert set(answers.rankings) == {Lane.SPARSE}
    assert answers.degraded == ("embedding:unavailable", "semantic:unavailable")


@pytest.mark.req("R3.5")
async def test_a_laggard_is_cut_off_once_another_lane_has_answered() -> None:
    semantic = Scripted("semantic", hangs=True)
    answers = await search(Scripted("encoder"), semantic, Scripted("sparse")).search(request(*BOTH))
    assert answers.degraded == ("semantic:slow",)
    assert semantic.cut_off  # so that its breaker counts a slow call, not a client that went away


@pytest.mark.req("R3.5")
async def test_a_slow_encoder_is_named_itself() -> None:
    encoder = Scripted("encoder", hangs=True)
    answers = await search(encoder, Scripted("semantic"), Scripted("sparse")).search(request(*BOTH))
    assert answers.degraded == ("embedding:slow", "semantic:unavailable")


@pytest.mark.req("R3.5")
async def test_a_lane_that_failed_does_not_start_the_cut_off() -> None:
    semantic = Scripted("semantic", hangs=True)
    lanes = search(Scripted("encoder"), semantic, Scripted("sparse", MilvusConnectionError("milvus.sparse")))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await lanes.search(request(*BOTH))
    assert not semantic.cut_off


@pytest.mark.req("R3.10")
async def test_a_caller_who_leaves_leaves_nothing_running() -> None:
    semantic = Scripted("semantic", hangs=True)
    searching = asyncio.create_task(
        search(Scripted("encoder"), semantic, Scripted("sparse", hangs=True)).search(request(*BOTH))
    )
    while not semantic.calls:
        await asyncio.sleep(0)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("lane-")] == []
    assert not semantic.cut_off


async def test_a_bug_in_a_lane_is_not_hidden() -> None:
    class Broken(Scripted):
        async def search(self, probe: Probe, **_: object) -> list[Hit]:
            raise KeyError("bug")

    with pytest.raises(KeyError):
        await search(Scripted("encoder"), Scripted("semantic"), Broken("sparse")).search(request(*BOTH))
