"""Conversations as they are shown: what they cite may be gone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.exceptions import NotFound
from advanced_rag.ports.conversations import NewMessage, Role
from advanced_rag.services.conversations import ConversationsService
from tests.fakes.conversation_store import FakeConversationStore

ACME, GLOBEX = Tenant("acme"), Tenant("globex")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class CountingDocuments:
    """Knows since when which document is there, and counts how often it is asked."""

    since: dict[str, datetime] = field(default_factory=dict)
    asked: list[set[DocumentId]] = field(default_factory=list)

    async def created(self, tenant: Tenant, document_ids: Collection[DocumentId]) -> dict[DocumentId, datetime]:
        assert tenant == ACME
        self.asked.append(set(document_ids))
        return {name: self.since[name] for name in document_ids if name in self.since}


def citation(n: int, document_id: str) -> dict[str, Any]:
    return {"n": n, "chunk_id": f"c_{n}", "document_id": document_id, "title": "Title", "text": "A quotation."}


async def shown(documents: CountingDocuments, *cited: str, messages: int = 1) -> list[list[dict[str, Any]]]:
    """The citations of each message, as they are listed."""
    store = FakeConversationStore(now=lambda: NOW)
    session = await store.create(ACME)
    citations = [citation(n, name) for n, name in enumerate(cited, start=1)]
    for number in range(messages):
        await store.append(
            ACME, session.id, [NewMessage(f"m_{number}", Role.ASSISTANT, "text", 1, citations=citations)]
        )
    page = await ConversationsService(store, documents).messages(ACME, session.id, limit=50)
    return [list(message.citations) for message in page.items]


@pytest.mark.req("R6.10")
async def test_a_citation_of_a_deleted_document_shows_neither_its_title_nor_its_text() -> None:
    ((here, gone),) = await shown(CountingDocuments({"here": NOW - DAY}), "here", "gone")
    assert here == {**citation(1, "here"), "deleted": False}
    assert gone == {**citation(2, "gone"), "title": "deleted source", "text": "", "deleted": True}


@pytest.mark.req("R6.10")
async def test_a_document_that_came_back_does_not_bring_back_what_was_cited_before() -> None:
    ((cited,),) = await shown(CountingDocuments({"back": NOW + DAY}), "back")
    assert cited["deleted"]


async def test_a_whole_page_asks_once_and_one_without_citations_never() -> None:
    documents = CountingDocuments({"a": NOW, "b": NOW})
    assert len(await shown(documents, "a", "b", messages=30)) == 30
    assert documents.asked == [{"a", "b"}]
    await shown(documents, messages=3)
    assert len(documents.asked) == 1


async def test_sessions_are_listed_by_user_and_deleted_once() -> None:
    store = FakeConversationStore()
    service = ConversationsService(store, CountingDocuments())
    ines = await store.create(ACME, user_id="ines")
    other = await store.create(ACME)
    assert [session.id for session in (await service.sessions(ACME, limit=10)).items] == [other.id, ines.id]
    assert [session.id for session in (await service.sessions(ACME, user_id="ines", limit=10)).items] == [ines.id]
    await service.delete(ACME, ines.id)
    with pytest.raises(NotFound):
        await service.delete(ACME, ines.id)


@pytest.mark.req("R8.1")
async def test_a_session_of_another_tenant_does_not_exist() -> None:
    store = FakeConversationStore()
    service = ConversationsService(store, CountingDocuments())
    session = await store.create(ACME)
    assert (await service.sessions(GLOBEX, limit=10)).items == ()
    with pytest.raises(NotFound):
        await service.messages(GLOBEX, session.id, limit=10)
    with pytest.raises(NotFound):
        await service.delete(GLOBEX, session.id)
    assert await store.session(ACME, session.id) is not None
