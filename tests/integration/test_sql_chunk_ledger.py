"""The ledger on the real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from advanced_rag.adapters.sql.chunk_ledger import SqlChunkLedger
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.document_reader import SqlDocumentReader
from advanced_rag.adapters.sql.document_store import SqlDocumentStore
from advanced_rag.adapters.sql.version_sweep import SqlVersionSweep
from tests.contracts.chunk_ledger import ChunkLedgerContract, LedgerPorts
from tests.integration.databases import migrated_sqlite, opened_pool


def ports_on(pool: DbPool) -> LedgerPorts:
    return LedgerPorts(SqlDocumentStore(pool), SqlDocumentReader(pool), SqlVersionSweep(pool), SqlChunkLedger(pool))


class TestOnSqlite(ChunkLedgerContract):
    @pytest.fixture
    async def ports(self, tmp_path: Path) -> AsyncIterator[LedgerPorts]:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool:
            yield ports_on(pool)

    async def test_a_page_is_found_by_the_index_and_not_sorted(self, tmp_path: Path) -> None:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool, pool.read() as connection:
            plan = await connection.execute(
                text(
                    "EXPLAIN QUERY PLAN SELECT chunks.id, document_versions.state FROM chunks JOIN document_versions "
                    "ON chunks.tenant = document_versions.tenant AND chunks.document_id = document_versions.document_id"
                    " AND chunks.version = document_versions.version WHERE chunks.id > 'c_' ORDER BY chunks.id LIMIT 9"
                )
            )
            steps = " ".join(row.detail for row in plan)
        assert "TEMP B-TREE" not in steps, steps


class TestOnPostgres(ChunkLedgerContract):
    @pytest.fixture
    async def ports(self, postgres_url: str) -> AsyncIterator[LedgerPorts]:
        async with opened_pool(postgres_url) as pool:
            yield ports_on(pool)
