"""Conversations and feedback on the real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from advanced_rag.adapters.sql.column_types import seconds_from_now
from advanced_rag.adapters.sql.conversation_store import SqlConversationStore
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.feedback_store import SqlFeedbackStore
from advanced_rag.adapters.sql.retention import SqlRetention
from advanced_rag.adapters.sql.tables import sessions
from advanced_rag.constants import SECONDS_PER_DAY
from advanced_rag.domain.documents import Tenant
from tests.contracts.conversation_store import ConversationPorts, ConversationStoreContract
from tests.integration.databases import migrated_sqlite, opened_pool


def ports_on(pool: DbPool) -> ConversationPorts:
    async def age(tenant: Tenant, session_id: str, days: float) -> None:
        silent_since = seconds_from_now(-days * SECONDS_PER_DAY)
        own = (sessions.c.tenant == tenant, sessions.c.id == session_id)
        async with pool.write() as connection:
            await connection.execute(update(sessions).where(*own).values(updated_at=silent_since))

    return ConversationPorts(SqlConversationStore(pool), SqlRetention(pool), SqlFeedbackStore(pool), age)


class TestOnSqlite(ConversationStoreContract):
    @pytest.fixture
    async def ports(self, tmp_path: Path) -> AsyncIterator[ConversationPorts]:
        async with opened_pool(await migrated_sqlite(tmp_path)) as pool:
            yield ports_on(pool)


class TestOnPostgres(ConversationStoreContract):
    @pytest.fixture
    async def ports(self, postgres_url: str) -> AsyncIterator[ConversationPorts]:
        async with opened_pool(postgres_url) as pool:
            yield ports_on(pool)
