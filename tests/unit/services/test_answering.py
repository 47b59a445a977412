"""Answers over fakes: quoted, cited, kept; or said not to be there."""

from __future__ import annotations

from typing import Any

import pytest

from advanced_rag.exceptions import (
    BulkheadFull,
    CircuitOpen,
    DependencyTimeout,
    DependencyUnavailable,
    EmbeddingGenerationError,
    MilvusConnectionError,
    NotFound,
    RetrievalError,
)
from advanced_rag.ports.conversations import Role
from advanced_rag.services.answering import NO_SOURCES, ChatQuery
from tests.fakes.services import ACME, FakeServices, given

TEXT = "The office opens at nine. The spare keys hang in cabinet B. Visitors sign the book."


async def filled(**options: Any) -> FakeServices:
    services = FakeServices(**options)
    await services.ingest(given(TEXT, "office"), given("The boiler is serviced in May.", "boiler"))
    return services


async def test_an_answer_quotes_the_sentence_and_says_where_it_stands() -> None:
    services = await filled()
    answer = await services.answering.answer(ChatQuery(ACME, "Where do the spare keys hang?"))
    assert answer.grounded
    first = answer.citations[0]
    assert first.text == TEXT[first.start : first.end] == "The spare keys hang in cabinet B."
    assert answer.answer.startswith("The spare keys hang in cabinet B. [1]")
    assert answer.usage["total_tokens"] == answer.usage["prompt_tokens"] + answer.usage["completion_tokens"]


async def test_a_citation_says_the_page_that_it_stands_on() -> None:
    services = FakeServices()
    start = TEXT.index("The spare keys")
    await services.ingest(given(TEXT, "office", metadata={"pages": [start, len(TEXT) - start]}))
    answer = await services.answering.answer(ChatQuery(ACME, "Where do the spare keys hang?"))
    assert [citation.page for citation in answer.citations if "spare keys" in citation.text] == [2]


async def test_what_the_documents_do_not_say_is_not_answered() -> None:
    services = await filled()
    answer = await services.answering.answer(ChatQuery(ACME, "Qualia zeugma?"))
    assert (answer.grounded, answer.citations) == (False, ())
    assert answer.answer


async def test_the_conversation_is_kept_with_its_citations() -> None:
    services = await filled()
    first = await services.answering.answer(ChatQuery(ACME, "Where do the spare keys hang?"))
    assert first.session_id is not None
    second = await services.answering.answer(ChatQuery(ACME, "When does the office open?", session_id=first.session_id))
    messages = (await services.conversations.messages(ACME, first.session_id, limit=10)).items
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT] * 2
    assert messages[1].id == first.message_id
    assert messages[3].id == second.message_id
    assert messages[1].citations[0]["document_id"] == "office"


async def test_a_session_of_nobody_is_not_found() -> None:
    services = await filled()
    with pytest.raises(NotFound):
        await services.answering.answer(ChatQuery(ACME, "Where?", session_id="nobody"))


async def test_without_embeddings_the_words_choose_the_sentence() -> None:
    services = await filled()
    services.encoder.error = EmbeddingGenerationError("embedding")
    answer = await services.answering.answer(ChatQuery(ACME, "Where do the spare keys hang?"))
    assert answer.citations[0].text == "The spare keys hang in cabinet B."
    assert "embedding:unavailable" in answer.degraded


class GoneConversations:
    """The conversations while the database is gone."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        async def gone(*_: object, **__: object) -> None:
            raise self.error

        return gone


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DependencyUnavailable("database"), "unavailable"),
        (CircuitOpen("database", retry_after_s=5.0), "unavailable"),
        (DependencyTimeout("database", limit_s=5.0), "timeout"),
        (BulkheadFull("database is busy"), "busy"),
    ],
)
async def test_without_the_database_a_new_conversation_is_answered_and_not_kept(error: Exception, reason: str) -> None:
    services = await filled()
    object.__setattr__(services.answering, "conversations", GoneConversations(error))
    answer = await services.answering.answer(ChatQuery(ACME, "Where do the spare keys hang?"))
    assert (answer.session_id, answer.persisted, answer.grounded) == (None, False, True)
    assert answer.degraded == (f"database:{reason}",)
    with pytest.raises(type(error)):  # whose session it is cannot be shown
        await services.answering.answer(ChatQuery(ACME, "Where?", session_id="some"))


async def test_without_milvus_it_depends_on_whether_an_answer_must_be_grounded() -> None:
    for require_grounding in (True, False):
        services = await filled(require_grounding=require_grounding)
        services.semantic.error = services.sparse.error = MilvusConnectionError("milvus")
        query = ChatQuery(ACME, "Where do the spare keys hang?")
        if require_grounding:
            with pytest.raises(RetrievalError):
                await services.answering.answer(query)
        else:
            answer = await services.answering.answer(query)
            assert (answer.answer, answer.grounded) == (NO_SOURCES, False)
