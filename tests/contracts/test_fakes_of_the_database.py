"""The fakes of the database's ports keep to the ports' contracts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from advanced_rag.domain.documents import Tenant
from advanced_rag.ports.collections import CollectionRegistry
from tests.contracts.collection_registry import CollectionRegistryContract
from tests.contracts.conversation_store import ConversationPorts, ConversationStoreContract
from tests.contracts.document_store import DocumentPorts, DocumentStoreContract
from tests.fakes.collection_registry import FakeCollectionRegistry
from tests.fakes.conversation_store import FakeConversationStore
from tests.fakes.document_store import FakeDocumentStore


class TestFakeDocumentStore(DocumentStoreContract):
    @pytest.fixture
    def ports(self) -> DocumentPorts:
        fake = FakeDocumentStore()
        return DocumentPorts(fake, fake, fake)


class TestFakeConversationStore(ConversationStoreContract):
    @pytest.fixture
    def ports(self) -> ConversationPorts:
        fake = FakeConversationStore()

        async def age(tenant: Tenant, session_id: str, days: float) -> None:
            fake.set_last_activity(tenant, session_id, datetime.now(UTC) - timedelta(days=days))

        return ConversationPorts(fake, fake, fake, age)


class TestFakeCollectionRegistry(CollectionRegistryContract):
    @pytest.fixture
    def registry(self) -> CollectionRegistry:
        return FakeCollectionRegistry()
