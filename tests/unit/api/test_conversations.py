"""`/v1/chat/sessions` and `/v1/feedback`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from advanced_rag.api.dependencies import OPEN_CALLER, OPEN_TENANT
from advanced_rag.exceptions import BulkheadFull, CircuitOpen, DependencyTimeout, DependencyUnavailable, PoolExhausted
from advanced_rag.ports.conversations import NewMessage, Role
from tests.unit.api.fake_services import Api

CITATION = {
    "n": 1,
    "chunk_id": "c_1",
    "document_id": "keys",
    "title": "Key register",
    "start": 0,
    "end": 29,
    "score": 0.8,
    "text": "Spare keys hang in cabinet B.",
}


async def conversation(api: Api, *, user_id: str | None = None, document_id: str = "keys") -> str:
    """A session with a question and an answer; its id."""
    store = api.services.conversation_store
    session = await store.create(OPEN_TENANT, user_id=user_id)
    cited = {**CITATION, "document_id": document_id}
    question = NewMessage(f"q-{session.id}", Role.USER, "Where?", 1)
    answer = NewMessage(f"a-{session.id}", Role.ASSISTANT, "There. [1]", 3, citations=[cited])
    await store.append(OPEN_TENANT, session.id, [question, answer])
    return session.id


async def test_sessions_are_listed_in_pages_newest_first(api: Api) -> None:
    ids = [await conversation(api, user_id="ines") for _ in range(3)]
    await conversation(api, user_id="other")
    first = (await api.client.get("/v1/chat/sessions?user_id=ines&limit=2")).json()
    assert [session["id"] for session in first["sessions"]] == ids[:0:-1]
    assert first["sessions"][0]["user_id"] == "ines"
    cursor = first["next_cursor"]
    rest = (await api.client.get(f"/v1/chat/sessions?user_id=ines&limit=2&cursor={cursor}")).json()
    assert ([session["id"] for session in rest["sessions"]], rest["next_cursor"]) == (ids[:1], None)
    everyone = (await api.client.get("/v1/chat/sessions")).json()
    assert len(everyone["sessions"]) == 4


@pytest.mark.req("R6.10")
async def test_messages_are_listed_with_what_they_cite_as_it_stands_now(api: Api) -> None:
    session_id = await conversation(api)
    url = f"/v1/chat/sessions/{session_id}/messages"
    question, answer = (await api.client.get(url)).json()["messages"]
    assert (question["role"], question["content"], question["citations"]) == ("user", "Where?", [])
    assert answer["citations"] == [{**CITATION, "deleted": False}]
    assert answer["status"] == "complete"
    assert answer["session_id"] == session_id
    assert answer["created_at"].endswith("Z")
    gone = await conversation(api, document_id="gone")
    page = (await api.client.get(f"/v1/chat/sessions/{gone}/messages")).json()
    (citation,) = page["messages"][1]["citations"]
    assert (citation["deleted"], citation["title"], citation["text"]) == (True, "deleted source", "")


async def test_messages_come_in_pages_oldest_first(api: Api) -> None:
    url = f"/v1/chat/sessions/{await conversation(api)}/messages?limit=1"
    first = (await api.client.get(url)).json()
    second = (await api.client.get(f"{url}&cursor={first['next_cursor']}")).json()
    assert [page["messages"][0]["role"] for page in (first, second)] == ["user", "assistant"]
    assert second["next_cursor"] is None


async def test_a_deleted_session_is_gone(api: Api) -> None:
    session_id = await conversation(api)
    url = f"/v1/chat/sessions/{session_id}"
    deleted = await api.client.delete(url)
    assert (deleted.status_code, deleted.json()["id"], deleted.json()["status"]) == (200, session_id, "deleted")
    for answer in (await api.client.delete(url), await api.client.get(f"{url}/messages")):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.req("R8.5")
@pytest.mark.parametrize("session_id", ["a b", "x" * 129, "' or 1=1 --", "%22", "%00"])
async def test_what_cannot_be_a_session_is_refused_and_asked_of_nobody(api: Api, session_id: str) -> None:
    for answer in (
        await api.client.get(f"/v1/chat/sessions/{session_id}/messages"),
        await api.client.delete(f"/v1/chat/sessions/{session_id}"),
    ):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == "/id"
    assert not api.services.entered.is_set()


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "user_id=a%20b", "cursor=" + "x" * 2_000])
async def test_a_bad_parameter_is_named(api: Api, query: str) -> None:
    answer = await api.client.get(f"/v1/chat/sessions?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == f"/{query.partition('=')[0]}"


async def test_a_cursor_that_is_not_ours_is_named(api: Api) -> None:
    for url in ("/v1/chat/sessions?cursor=x", f"/v1/chat/sessions/{await conversation(api)}/messages?cursor=x"):
        answer = await api.client.get(url)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, "/cursor")


async def vote(api: Api, **body: Any) -> httpx.Response:
    return await api.client.post("/v1/feedback", json=body)


async def test_a_vote_is_stored_and_can_be_changed(api: Api) -> None:
    message_id = f"a-{await conversation(api)}"
    first = (await vote(api, message_id=message_id, vote="up", comment="Good.")).json()
    assert (first["message_id"], first["vote"], first["comment"]) == (message_id, "up", "Good.")
    changed = await vote(api, message_id=message_id, vote="down")
    assert changed.status_code == 200
    assert (changed.json()["id"], changed.json()["vote"], changed.json()["comment"]) == (first["id"], "down", None)
    (stored,) = await api.services.conversation_store.votes(OPEN_TENANT, message_id)
    assert (stored.caller, stored.vote) == (OPEN_CALLER, "down")


async def test_a_vote_on_nothing_is_not_found(api: Api) -> None:
    answer = await vote(api, message_id="nobody-has-this", vote="up")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"vote": "up"}, "/message_id"),
        ({"message_id": "m", "vote": "sideways"}, "/vote"),
        ({"message_id": "m", "vote": 1}, "/vote"),
        ({"message_id": "m"}, "/vote"),
        ({"message_id": "a b", "vote": "up"}, "/message_id"),
        ({"message_id": "m", "vote": "up", "comment": "x" * 4_001}, "/comment"),
        ({"message_id": "m", "vote": "up", "caller": "somebody"}, "/caller"),
    ],
)
async def test_what_is_wrong_with_a_vote_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = await vote(api, **body)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["errors"]] == [field]
    assert not api.services.entered.is_set()


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (PoolExhausted("no database connection became free in time"), "overloaded"),
        (BulkheadFull("database is busy: every permit is taken"), "overloaded"),
        (CircuitOpen("database", retry_after_s=4.2), "database-unavailable"),
        (DependencyUnavailable("database"), "database-unavailable"),
        (DependencyUnavailable("database", transient=False), "database-unavailable"),
        (DependencyTimeout("database", limit_s=5.0), "database-unavailable"),
    ],
)
async def test_a_database_that_does_not_answer_is_503_everywhere(api: Api, error: Exception, problem: str) -> None:
    session_id = await conversation(api)
    api.services.error = error
    for answer in (
        await api.client.get("/v1/chat/sessions"),
        await api.client.get(f"/v1/chat/sessions/{session_id}/messages"),
        await api.client.delete(f"/v1/chat/sessions/{session_id}"),
        await vote(api, message_id="m", vote="up"),
        await api.client.get("/v1/documents"),
        await api.client.get("/v1/documents/keys"),
        await api.client.delete("/v1/documents/keys"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, f"/problems/{problem}")
        assert 1 <= int(answer.headers["Retry-After"]) <= 30
