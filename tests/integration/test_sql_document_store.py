"""Documents of record on the real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.document_reader import SqlDocumentReader
from advanced_rag.adapters.sql.document_store import SqlDocumentStore
from advanced_rag.adapters.sql.version_sweep import SqlVersionSweep
from tests.contracts.document_store import DocumentPorts, DocumentStoreContract
from tests.integration.databases import migrated_sqlite, opened_pool


def ports_on(pool: DbPool) -> DocumentPorts:
    return DocumentPorts(SqlDocumentStore(pool), SqlDocumentReader(pool), SqlVersionSweep(pool))


class TestOnSqlite(DocumentStoreContract):
    @pytest.fixture
    async def ports(self, tmp_path: Path) -> AsyncIterator[DocumentPorts]:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool:
            yield ports_on(pool)


class TestOnPostgres(DocumentStoreContract):
    @pytest.fixture
    async def ports(self, postgres_url: str) -> AsyncIterator[DocumentPorts]:
        async with opened_pool(postgres_url) as pool:
            yield ports_on(pool)
