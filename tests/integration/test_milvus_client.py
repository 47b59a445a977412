"""The connection and the calls, against a Milvus that answers as it is told and one that really dies."""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
import uvloop

from advanced_rag.adapters.milvus.client import ConnectionLimits, MilvusConnection
from advanced_rag.adapters.milvus.collections import ensure_collection, layout_of
from advanced_rag.adapters.milvus.dialect import EMBEDDED, OLD_SERVER, SERVER
from advanced_rag.adapters.milvus.schema import DenseLayout, SparseLayout
from advanced_rag.adapters.milvus.vector_index import MilvusSparseIndex, MilvusVectorIndex
from advanced_rag.domain.documents import ChunkId, Lane, Terms
from advanced_rag.domain.filters import Comparator, Compare, Constant
from advanced_rag.exceptions import (
    CallerError,
    DependencyError,
    DependencyInvalid,
    DependencyTimeout,
    DependencyUnavailable,
    MilvusConnectionError,
)
from advanced_rag.ports.collections import CollectionRecord
from tests.contracts.vector_index import ACME, DIMENSION, row, unit
from tests.servers.milvus import MilvusServer, ScriptedMilvus, query_results, search_results
from tests.servers.processes import free_port

LIMITS = ConnectionLimits(connect_s=2.0, load_s=0.5)
LAYOUT = DenseLayout(DIMENSION)


@asynccontextmanager
async def connected(uri: str, limits: ConnectionLimits = LIMITS) -> AsyncIterator[MilvusConnection]:
    connection = MilvusConnection(uri, limits=limits)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def scripted(version: str | None = None) -> AsyncIterator[tuple[ScriptedMilvus, MilvusVectorIndex]]:
    async with ScriptedMilvus(version=version) as milvus, connected(milvus.uri) as connection:
        yield milvus, MilvusVectorIndex(connection, "rag_semantic_v1", LAYOUT, "milvus.semantic")


class TestOneAttemptIsOneCall:
    @pytest.mark.req("R3.8")
    @pytest.mark.parametrize(
        ("outcome", "error"),
        [
            (grpc.StatusCode.UNAVAILABLE, DependencyUnavailable),
            (grpc.StatusCode.INTERNAL, DependencyUnavailable),
            (grpc.StatusCode.UNKNOWN, DependencyUnavailable),
            (grpc.StatusCode.RESOURCE_EXHAUSTED, DependencyUnavailable),
            (1, DependencyUnavailable),
            (8, DependencyUnavailable),  # rate limit: pymilvus would retry it by itself
            (1100, CallerError),
        ],
    )
    async def test_a_failed_search_is_sent_once(self, outcome: object, error: type[Exception]) -> None:
        async with scripted() as (milvus, index):
            milvus.outcomes["Search"] = [outcome]
            with pytest.raises(error):
                await index.search(unit(1.0), tenant=ACME, limit=3)
            assert milvus.calls["Search"] == 1
            milvus.outcomes["Query"] = [outcome]
            with pytest.raises(error):
                await index.present([ChunkId("c1")])
            assert milvus.calls["Query"] == 1

    async def test_what_can_find_nothing_is_not_sent(self) -> None:
        async with ScriptedMilvus() as milvus, connected(milvus.uri) as connection:
            dense = MilvusVectorIndex(connection, "v", LAYOUT, "milvus.semantic")
            sparse = MilvusSparseIndex(connection, "s", SparseLayout(), "milvus.sparse")
            assert await dense.search(unit(1.0), tenant=ACME, limit=3, where=Constant(value=False)) == []
            assert await dense.search(unit(1.0), tenant=ACME, limit=0) == []
            assert await sparse.search(Terms("  "), tenant=ACME, limit=3) == []
            assert await sparse.passages(ACME, []) == {}
            assert not milvus.calls


class TestLoading:
    @pytest.mark.req("R5.3")
    @pytest.mark.parametrize("code", [101, 201])
    async def test_calls_that_meet_an_unloaded_collection_load_it_once_and_go_on(self, code: int) -> None:
        async with scripted() as (milvus, index):
            milvus.outcomes["Search"] = [*[code] * 20, search_results([("c1", 0.5)])]
            searches = (index.search(unit(1.0), tenant=ACME, limit=3) for _ in range(20))
            for hits in await asyncio.gather(*searches):
                assert [hit.chunk_id for hit in hits] == ["c1"]
            assert milvus.calls["LoadCollection"] == 1
            assert milvus.calls["Search"] == 40

    @pytest.mark.req("R5.3")
    async def test_a_collection_that_stays_unloaded_is_unavailable_after_one_load(self) -> None:
        async with scripted() as (milvus, index):
            milvus.outcomes["Search"] = [101]
            with pytest.raises(DependencyUnavailable):
                await index.search(unit(1.0), tenant=ACME, limit=3)
            assert (milvus.calls["LoadCollection"], milvus.calls["Search"]) == (1, 2)

    @pytest.mark.req("R5.3")
    async def test_a_load_has_its_own_limit_and_outlives_who_asked_for_it(self) -> None:
        async with ScriptedMilvus() as milvus:
            asked = asyncio.Event()
            release = asyncio.Event()
            milvus.before["LoadCollection"] = [asked.set, release.wait]
            async with connected(milvus.uri) as connection:
                impatient = asyncio.create_task(connection.load("v"))
                patient = asyncio.create_task(connection.load("v"))
                await asked.wait()
                impatient.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await impatient
                release.set()
                await patient
                assert milvus.calls["LoadCollection"] == 1
                release.clear()
                with pytest.raises(DependencyTimeout):
                    await connection.load("v")


class TestAnswers:
    @pytest.mark.req("R1.9")
    @pytest.mark.parametrize(
        "answer",
        [
            search_results([("c1", math.nan)]),
            search_results([("c1", math.inf)]),
            search_results([("c1", 0.5)], with_entity=False),
        ],
    )
    async def test_a_malformed_answer_is_invalid(self, answer: object) -> None:
        async with scripted() as (milvus, index):
            milvus.outcomes["Search"] = [answer]
            with pytest.raises(DependencyInvalid):
                await index.search(unit(1.0), tenant=ACME, limit=3)

    async def test_a_delete_that_was_refused_is_not_taken_for_done(self) -> None:
        async with scripted() as (milvus, index):
            milvus.outcomes["Delete"] = [8]
            milvus.outcomes["Query"] = [query_results("c1")]
            with pytest.raises(DependencyUnavailable):
                await index.delete([ChunkId("c1")])
            milvus.outcomes["Query"] = [query_results()]
            await index.delete([ChunkId("c1")])

    async def test_a_server_is_sent_templates_and_asked_for_strong_reads_and_ordered_pages(self) -> None:
        async with scripted("v2.5.4") as (milvus, index):
            where = Compare("lang", Comparator.EQ, "😀")
            await index.search(unit(1.0), tenant=ACME, limit=3, where=where)
            (search,) = milvus.requests["Search"]
            assert search.dsl == "tenant == {p0} and (lang__set == true and lang == {p1})"
            assert search.expr_template_values["p1"].string_val == "😀"
            milvus.outcomes["Query"] = [100]
            with pytest.raises(DependencyUnavailable):
                await index.present([ChunkId("c1")])
            with pytest.raises(DependencyUnavailable):
                await index.page_of_ids(None, 10)
            present, page = milvus.requests["Query"]
            assert present.consistency_level == 0  # strong
            assert not present.use_default_consistency
            assert {pair.key: pair.value for pair in page.query_params}["iterator"] == "True"

    @pytest.mark.parametrize(("version", "dialect"), [(None, EMBEDDED), ("v2.5.4", SERVER), ("2.3.5", OLD_SERVER)])
    async def test_the_dialect_is_learnt_from_the_server(self, version: str | None, dialect: object) -> None:
        async with ScriptedMilvus(version=version) as milvus, connected(milvus.uri) as connection:
            assert (await connection.open()).dialect is dialect

    async def test_an_old_server_has_no_sparse_lane(self) -> None:
        record = CollectionRecord(Lane.SPARSE, "", "s", model_digest="", dimension=0, generation=1)
        async with ScriptedMilvus(version="2.3.5") as milvus, connected(milvus.uri) as connection:
            with pytest.raises(DependencyError, match=r"2\.5") as caught:
                await ensure_collection(connection, record, {})
            assert not caught.value.transient


class TestConnecting:
    @pytest.mark.req("R5.4")
    async def test_nothing_is_sent_before_the_first_call_and_callers_share_one_attempt(self) -> None:
        async with ScriptedMilvus() as milvus, connected(milvus.uri) as connection:
            await asyncio.sleep(0)
            assert not milvus.calls
            opened = await asyncio.gather(*(connection.open() for _ in range(10)))
            assert len({id(one.client) for one in opened}) == 1
            assert milvus.calls["Connect"] == 1

    @pytest.mark.req("R5.4")
    async def test_a_milvus_that_is_down_is_refused_at_once_and_found_when_it_comes(self) -> None:
        port = free_port()
        async with connected(f"http://127.0.0.1:{port}") as connection:
            for _ in range(3):
                started = time.monotonic()
                with pytest.raises(MilvusConnectionError):
                    await connection.open()
                assert time.monotonic() - started < LIMITS.connect_s
            with MilvusServer(port=port):
                await until_it_opens(connection)

    async def test_a_milvus_that_hangs_is_given_up_in_time_by_all_who_wait(self) -> None:
        with MilvusServer() as server:
            server.stop()
            async with connected(server.uri) as connection:
                started = time.monotonic()
                outcomes = await asyncio.gather(*(connection.open() for _ in range(10)), return_exceptions=True)
                assert all(isinstance(outcome, DependencyError) for outcome in outcomes)
                assert time.monotonic() - started < 3 * LIMITS.connect_s
                server.cont()
                await until_it_opens(connection)

    async def test_calls_in_flight_fail_as_unavailable_when_the_client_is_thrown_away(self) -> None:
        async with scripted() as (milvus, index):
            asked, never = asyncio.Event(), asyncio.Event()
            milvus.before["Search"] = [asked.set, never.wait]
            search = asyncio.create_task(index.search(unit(1.0), tenant=ACME, limit=3))
            await asked.wait()
            await index.connection.reconnect()
            with pytest.raises(MilvusConnectionError):
                await search
            milvus.before.clear()
            assert await index.search(unit(1.0), tenant=ACME, limit=3) == []

    async def test_a_cancelled_search_is_cancelled_on_the_server_too(self) -> None:
        async with scripted() as (milvus, index):
            asked, never = asyncio.Event(), asyncio.Event()
            milvus.before["Search"] = [asked.set, never.wait]
            search = asyncio.create_task(index.search(unit(1.0), tenant=ACME, limit=3))
            await asked.wait()
            search.cancel()
            with pytest.raises(asyncio.CancelledError):
                await search
            async with asyncio.timeout(5.0):
                await milvus.cancelled.wait()

    async def test_a_closed_connection_stays_closed(self) -> None:
        async with ScriptedMilvus() as milvus:
            async with connected(milvus.uri) as connection:
                await connection.open()
            with pytest.raises(MilvusConnectionError) as caught:
                await connection.open()
            assert not caught.value.transient
            await connection.close()


@pytest.mark.req("R5.4")
@pytest.mark.req("R5.3")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_killed_milvus_is_used_again_soon_after_it_is_back(run: Callable[[object], None]) -> None:
    async def main(server: MilvusServer) -> None:
        record = CollectionRecord(Lane.SEMANTIC, "", "v", model_digest="m", dimension=DIMENSION, generation=1)
        async with connected(server.uri, ConnectionLimits()) as connection:
            await ensure_collection(connection, record, {})
            index = MilvusVectorIndex(connection, "v", layout_of(record, {}), "milvus.semantic")
            await index.upsert([row(n) for n in range(50)])
            for _ in range(2):
                await asyncio.to_thread(server.kill9)
                took_s = []
                for _ in range(20):
                    started = time.monotonic()
                    with pytest.raises(DependencyError):
                        await index.search(unit(1.0), tenant=ACME, limit=100)
                    took_s.append(time.monotonic() - started)
                assert statistics.median(took_s) < 0.3
                await asyncio.to_thread(server.start)
                back = time.monotonic()
                async with asyncio.timeout(10.0):
                    while True:
                        try:
                            hits = await index.search(unit(1.0), tenant=ACME, limit=100)
                            break
                        except DependencyError:
                            await asyncio.sleep(0.01)
                assert len(hits) == 50
                assert time.monotonic() - back < 3.0

    with MilvusServer() as server:
        run(main(server))


@pytest.mark.req("R10.6")
async def test_the_driver_itself_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted() as (milvus, index):
        milvus.outcomes["Search"] = [grpc.StatusCode.INTERNAL]
        for _ in range(5):
            with pytest.raises(DependencyUnavailable):
                await index.search(unit(1.0), tenant=ACME, limit=3)
    assert not [record for record in caplog.records if record.name.startswith("pymilvus")]
    assert len([record for record in caplog.records if record.name.startswith("advanced_rag.adapters.milvus")]) <= 2


async def until_it_opens(connection: MilvusConnection) -> None:
    async with asyncio.timeout(10.0):
        while True:
            try:
                await connection.open()
            except DependencyError:
                await asyncio.sleep(0.01)
            else:
                return
