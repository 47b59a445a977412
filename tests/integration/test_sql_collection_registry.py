"""The registry of physical collections on the real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from advanced_rag.adapters.sql.collection_registry import SqlCollectionRegistry
from advanced_rag.ports.collections import CollectionRegistry
from tests.contracts.collection_registry import CollectionRegistryContract
from tests.integration.databases import migrated_sqlite, opened_pool


class TestOnSqlite(CollectionRegistryContract):
    @pytest.fixture
    async def registry(self, tmp_path: Path) -> AsyncIterator[CollectionRegistry]:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool:
            yield SqlCollectionRegistry(pool)


class TestOnPostgres(CollectionRegistryContract):
    @pytest.fixture
    async def registry(self, postgres_url: str) -> AsyncIterator[CollectionRegistry]:
        async with opened_pool(postgres_url) as pool:
            yield SqlCollectionRegistry(pool)
