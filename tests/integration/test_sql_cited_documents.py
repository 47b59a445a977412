"""Looking cited documents up in the real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from advanced_rag.adapters.sql.cited_documents import SqlCitedDocuments
from advanced_rag.adapters.sql.document_store import SqlDocumentStore
from tests.contracts.cited_documents import CitedDocumentsContract, CitedPorts
from tests.integration.databases import migrated_sqlite, opened_pool


class TestOnSqlite(CitedDocumentsContract):
    @pytest.fixture
    async def ports(self, tmp_path: Path) -> AsyncIterator[CitedPorts]:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool:
            yield CitedPorts(SqlDocumentStore(pool), SqlCitedDocuments(pool))


class TestOnPostgres(CitedDocumentsContract):
    @pytest.fixture
    async def ports(self, postgres_url: str) -> AsyncIterator[CitedPorts]:
        async with opened_pool(postgres_url) as pool:
            yield CitedPorts(SqlDocumentStore(pool), SqlCitedDocuments(pool))
