"""Conversations over HTTP: listed, read with what they cite, voted on, deleted."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest


def chat(client: httpx.Client, message: str, **options: Any) -> dict[str, Any]:
    answer = client.post("/v1/chat", json={"message": message, **options})
    assert answer.status_code == httpx.codes.OK, answer.text
    body: dict[str, Any] = answer.json()
    return body


def messages(client: httpx.Client, session_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get(f"/v1/chat/sessions/{session_id}/messages", params={"limit": 3, **cursor}).json()
        found += page["messages"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.req("R6.10")
def test_a_conversation_is_listed_read_and_outlives_what_it_cites(client: httpx.Client) -> None:
    user, name, word = f"user-{uuid.uuid4()}", f"cited-{uuid.uuid4()}", f"quillwort{uuid.uuid4().hex[:8]}"
    document = {"id": name, "title": "Pond plan", "text": f"The {word} grows in the third pond of the depot."}
    client.post("/v1/ingest", json={"documents": [document]}).raise_for_status()
    first = chat(client, f"Where does the {word} grow?", user_id=user)
    assert [citation["document_id"] for citation in first["citations"]] == [name]
    chat(client, "And the spare keys?", session_id=first["session_id"])
    other = chat(client, "Who feeds the cat?", user_id=user)
    chat(client, "Who feeds the cat?")
    sessions = client.get("/v1/chat/sessions", params={"user_id": user}).json()
    assert [session["id"] for session in sessions["sessions"]] == [other["session_id"], first["session_id"]]
    assert sessions["next_cursor"] is None
    said = messages(client, first["session_id"])
    assert [message["role"] for message in said] == ["user", "assistant"] * 2
    assert said[1]["id"] == first["message_id"]
    assert said[1]["content"] == first["answer"]
    assert said[1]["citations"] == [{**citation, "deleted": False} for citation in first["citations"]]
    client.delete(f"/v1/documents/{name}").raise_for_status()
    for text in (None, f"The {word} comes back under its old id."):
        if text is not None:
            client.post("/v1/ingest", json={"documents": [{**document, "text": text}]}).raise_for_status()
        (citation,) = messages(client, first["session_id"])[1]["citations"]
        assert (citation["deleted"], citation["title"], citation["text"]) == (True, "deleted source", "")


def test_a_vote_is_changed_and_goes_with_its_session(client: httpx.Client) -> None:
    answer = chat(client, "Where are the spare keys?")
    votes = [
        client.post("/v1/feedback", json={"message_id": answer["message_id"], "vote": vote, "comment": comment})
        for vote, comment in (("up", "Good."), ("down", None))
    ]
    assert [vote.status_code for vote in votes] == [httpx.codes.OK] * 2
    assert votes[0].json()["id"] == votes[1].json()["id"]
    exposition = client.get("/metrics").text
    assert 'rag_feedback_total{vote="up"} 0.0' not in exposition
    assert 'rag_feedback_total{vote="down"} 0.0' not in exposition
    url = f"/v1/chat/sessions/{answer['session_id']}"
    assert client.delete(url).status_code == httpx.codes.OK
    assert client.delete(url).status_code == httpx.codes.NOT_FOUND
    assert client.get(f"{url}/messages").status_code == httpx.codes.NOT_FOUND
    assert client.post("/v1/chat", json={"message": "x", "session_id": answer["session_id"]}).status_code == 404
    late = client.post("/v1/feedback", json={"message_id": answer["message_id"], "vote": "up"})
    assert late.status_code == httpx.codes.NOT_FOUND
