"""Behind a pooler that hands out server connections by transaction, everything works and nothing is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import RAGException
from tests.contracts.conversation_store import ConversationPorts, ConversationStoreContract
from tests.contracts.document_store import ACME, swept, writers_and_readers
from tests.integration.databases import opened_pool
from tests.integration.test_sql_conversation_store import ports_on as conversation_ports_on
from tests.integration.test_sql_document_store import ports_on as document_ports_on
from tests.servers.transaction_pooler import TransactionPooler


@pytest.fixture
async def pooler(postgres_url: str) -> AsyncIterator[TransactionPooler]:
    url = make_url(postgres_url)
    pooler = TransactionPooler(
        url.host or "", url.port or 0, user=url.username or "", database=url.database or "", servers=3
    )
    async with pooler.running():
        yield pooler


@pytest.fixture
def pooled_url(postgres_url: str, pooler: TransactionPooler) -> str:
    return make_url(postgres_url).set(port=pooler.port).render_as_string()


class TestConversationsBehindAPooler(ConversationStoreContract):
    @pytest.fixture
    async def ports(self, pooled_url: str) -> AsyncIterator[ConversationPorts]:
        async with opened_pool(pooled_url) as pool:
            yield conversation_ports_on(pool)


async def test_documents_are_written_and_read_behind_it(pooled_url: str) -> None:
    async with opened_pool(pooled_url) as pool:
        ports = document_ports_on(pool)
        await writers_and_readers(ports, writers=10, rounds=2, readers=3)
        await ports.store.delete(ACME, DocumentId("d"))
        assert len(await swept(ports)) == 21


async def test_no_setting_of_ours_stays_on_a_servers_connection(pooled_url: str, pooler: TransactionPooler) -> None:
    async with opened_pool(pooled_url, pool_size=5) as pool:
        for _ in range(20):
            await pool.check()
    assert pooler.transactions >= 20
    assert await pooler.values_of("statement_timeout") == {"0"}
    assert await pooler.values_of("idle_in_transaction_session_timeout") == {"0"}


async def test_prepared_statements_would_not_survive_it(pooled_url: str) -> None:
    """That the pooler tells: what works in front of it works because nothing is prepared."""
    async with opened_pool(pooled_url, pool_size=5, prepared_statements=True) as pool:

        async def use() -> None:
            for _ in range(10):
                await pool.check()

        with pytest.raises((RAGException, DBAPIError)):
            await use()
