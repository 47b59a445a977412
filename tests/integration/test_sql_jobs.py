"""Jobs and idempotency keys on the real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.document_store import SqlDocumentStore
from advanced_rag.adapters.sql.idempotency_store import SqlIdempotencyStore
from advanced_rag.adapters.sql.job_store import SqlJobQueue, SqlJobStore
from advanced_rag.ports.idempotency import IdempotencyStore
from tests.contracts.idempotency_store import IdempotencyStoreContract
from tests.contracts.job_store import JobPorts, JobStoreContract
from tests.integration.databases import migrated_sqlite, opened_pool


def ports_on(pool: DbPool) -> JobPorts:
    return JobPorts(SqlJobStore(pool), SqlJobQueue(pool), SqlDocumentStore(pool), SqlIdempotencyStore(pool))


class TestJobsOnSqlite(JobStoreContract):
    @pytest.fixture
    async def ports(self, tmp_path: Path) -> AsyncIterator[JobPorts]:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool:
            yield ports_on(pool)


class TestJobsOnPostgres(JobStoreContract):
    @pytest.fixture
    async def ports(self, postgres_url: str) -> AsyncIterator[JobPorts]:
        async with opened_pool(postgres_url) as pool:
            yield ports_on(pool)


class TestKeysOnSqlite(IdempotencyStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[IdempotencyStore]:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool:
            yield SqlIdempotencyStore(pool)


class TestKeysOnPostgres(IdempotencyStoreContract):
    @pytest.fixture
    async def store(self, postgres_url: str) -> AsyncIterator[IdempotencyStore]:
        async with opened_pool(postgres_url) as pool:
            yield SqlIdempotencyStore(pool)
