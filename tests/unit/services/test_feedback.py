"""One vote a caller and message."""

from __future__ import annotations

import pytest

from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import NotFound
from advanced_rag.ports.conversations import NewMessage, Role, Vote
from advanced_rag.services.feedback import FeedbackService
from tests.fakes.conversation_store import FakeConversationStore

ACME, GLOBEX = Tenant("acme"), Tenant("globex")


async def test_a_caller_has_one_vote_that_can_be_changed_and_each_is_recorded() -> None:
    store, recorded = FakeConversationStore(), list[Vote]()
    service = FeedbackService(store, recorded.append)
    session = await store.create(ACME)
    await store.append(ACME, session.id, [NewMessage("m_1", Role.ASSISTANT, "text", 1)])
    first = await service.vote(ACME, caller="a", message_id="m_1", vote=Vote.UP, comment="good")
    changed = await service.vote(ACME, caller="a", message_id="m_1", vote=Vote.DOWN, comment="")
    await service.vote(ACME, caller="b", message_id="m_1", vote=Vote.UP, comment="")
    assert (changed.id, changed.vote, changed.comment) == (first.id, Vote.DOWN, "")
    assert sorted(vote.caller for vote in await store.votes(ACME, "m_1")) == ["a", "b"]
    assert recorded == [Vote.UP, Vote.DOWN, Vote.UP]


@pytest.mark.req("R8.1")
async def test_a_message_of_another_tenant_cannot_be_voted_on_and_nothing_is_recorded() -> None:
    store, recorded = FakeConversationStore(), list[Vote]()
    session = await store.create(ACME)
    await store.append(ACME, session.id, [NewMessage("m_1", Role.ASSISTANT, "text", 1)])
    with pytest.raises(NotFound):
        await FeedbackService(store, recorded.append).vote(
            GLOBEX, caller="a", message_id="m_1", vote=Vote.UP, comment=""
        )
    assert recorded == []
