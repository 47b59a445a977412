"""The adapter on the native engine, the same binary that the service embeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from advanced_rag.adapters.milvus.client import ONE_ATTEMPT, MilvusConnection
from advanced_rag.adapters.milvus.collections import (
    compact_collection,
    drop_collection,
    ensure_collection,
    layout_of,
)
from advanced_rag.adapters.milvus.vector_index import MilvusSparseIndex, MilvusVectorIndex
from advanced_rag.domain.documents import Lane
from advanced_rag.domain.filters import FieldType
from advanced_rag.exceptions import DependencyUnavailable, SchemaMismatch
from advanced_rag.ports.collections import CollectionRecord
from tests.contracts.vector_index import ACME, DIMENSION, FIELDS, DenseIndexContract, SparseIndexContract, row, unit
from tests.servers.milvus import MilvusServer


@pytest.fixture(scope="module")
def server() -> Iterator[MilvusServer]:
    with MilvusServer() as running:
        yield running


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"t{uuid4().hex[:8]}"


@pytest.fixture
async def connection(server: MilvusServer) -> AsyncIterator[MilvusConnection]:
    opened = MilvusConnection(server.uri, embedded=True)
    yield opened
    await opened.close()


def record_of(lane: Lane, name: str, *, dimension: int = DIMENSION) -> CollectionRecord:
    return CollectionRecord(lane, "", name, model_digest="m", dimension=dimension, generation=1)


async def emptied(connection: MilvusConnection, record: CollectionRecord) -> MilvusVectorIndex:
    """The lane's index without rows. Making a collection costs half a second of pymilvus's, so it is made once."""
    await ensure_collection(connection, record, FIELDS)
    client = (await connection.open()).client
    await client.delete(record.physical_name, filter='id != ""', **ONE_ATTEMPT)
    kind = MilvusSparseIndex if record.lane is Lane.SPARSE else MilvusVectorIndex
    return kind(connection, record.physical_name, layout_of(record, FIELDS), f"milvus.{record.lane}")


class TestMilvusDenseIndex(DenseIndexContract):
    says_every_filter = False

    @pytest.fixture
    async def index(self, connection: MilvusConnection, prefix: str) -> MilvusVectorIndex:
        return await emptied(connection, record_of(Lane.SEMANTIC, f"{prefix}_semantic"))


class TestMilvusSparseIndex(SparseIndexContract):
    says_every_filter = False

    @pytest.fixture
    async def index(self, connection: MilvusConnection, prefix: str) -> MilvusVectorIndex:
        return await emptied(connection, record_of(Lane.SPARSE, f"{prefix}_sparse"))


class TestCollections:
    async def test_making_one_from_several_processes_at_once_makes_one(self, server: MilvusServer, prefix: str) -> None:
        connections = [MilvusConnection(server.uri, embedded=True) for _ in range(3)]
        records = [record_of(lane, f"{prefix}_race_{lane}") for lane in (Lane.SEMANTIC, Lane.SPARSE)]
        try:
            await asyncio.gather(
                *(ensure_collection(connection, record, FIELDS) for connection in connections for record in records)
            )
            client = (await connections[0].open()).client
            for record in records:
                there = await client.list_indexes(record.physical_name, **ONE_ATTEMPT)
                assert {"vector", "tenant", "lang", "year__set"} <= set(there)
        finally:
            for connection in connections:
                await connection.close()

    async def test_another_dimension_or_a_new_field_asks_for_a_reindex(
        self, connection: MilvusConnection, prefix: str
    ) -> None:
        record = record_of(Lane.SEMANTIC, f"{prefix}_mismatch")
        await ensure_collection(connection, record, {"year": FieldType.INT})
        await ensure_collection(connection, record, {"year": FieldType.INT})
        await ensure_collection(connection, record, {})  # a field that is declared no more is no harm
        with pytest.raises(SchemaMismatch, match="8 dimensions"):
            await ensure_collection(connection, replace(record, dimension=DIMENSION + 1), {"year": FieldType.INT})
        for fields in ({"lang": FieldType.STRING}, {"year": FieldType.STRING}, {"year": FieldType.INTS}):
            with pytest.raises(SchemaMismatch, match="filter field"):
                await ensure_collection(connection, record, fields)
        await drop_collection(connection, record.physical_name, name="milvus.semantic")
        await drop_collection(connection, record.physical_name, name="milvus.semantic")

    async def test_a_missing_collection_is_a_lasting_fault(self, connection: MilvusConnection, prefix: str) -> None:
        record = record_of(Lane.SEMANTIC, f"{prefix}_nowhere")
        index = MilvusVectorIndex(connection, record.physical_name, layout_of(record, {}), "milvus.semantic")
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: index.search(unit(1.0), tenant=ACME, limit=1),
            lambda: index.upsert([row(1)]),
            lambda: index.delete([row(1).chunk_id]),
            lambda: index.present([row(1).chunk_id]),
            lambda: index.page_of_ids(None, 1),
        ]
        for call in calls:
            with pytest.raises(DependencyUnavailable) as caught:
                await call()
            assert not caught.value.transient

    async def test_compaction_keeps_every_living_row(self, connection: MilvusConnection, prefix: str) -> None:
        index = await emptied(connection, record_of(Lane.SEMANTIC, f"{prefix}_semantic"))
        for _ in range(3):
            await index.upsert([row(n) for n in range(200)])
        await index.delete([row(n).chunk_id for n in range(50)])
        await compact_collection(connection, index.collection, name=index.name)
        hits = await index.search(unit(1.0), tenant=ACME, limit=1_000)
        assert {hit.chunk_id for hit in hits} == {row(n).chunk_id for n in range(50, 200)}


async def test_acknowledged_rows_survive_kill_9(tmp_path: Path) -> None:
    record = record_of(Lane.SPARSE, "s")
    with MilvusServer(tmp_path) as server:
        connection = MilvusConnection(server.uri, embedded=True)
        try:
            index = await emptied(connection, record)
            for start in range(0, 300, 50):
                await index.upsert([row(n) for n in range(start, start + 50)])
            await asyncio.to_thread(server.kill9)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(10.0):
                while True:
                    try:
                        found = await index.present([row(n).chunk_id for n in range(300)])
                        break
                    except DependencyUnavailable:
                        await asyncio.sleep(0.02)
            assert len(found) == 300
            assert len(await index.search(SparseIndexContract.probe, tenant=ACME, limit=1_000)) == 300
        finally:
            await connection.close()
