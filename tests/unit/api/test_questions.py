"""`POST /v1/retrieve` and `POST /v1/chat`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advanced_rag.domain.documents import Tenant
from advanced_rag.exceptions import NotFound, RetrievalError, ValidationError
from advanced_rag.services.answering import ChatQuery
from advanced_rag.services.retrieval_query import Mode, RetrievalQuery
from tests.unit.api.fake_services import PASSAGE, Api

TENANT = Tenant("default")


async def test_a_query_reaches_the_service_with_its_defaults(api: Api) -> None:
    await api.client.post("/v1/retrieve", json={"query": "where?"})
    assert api.services.queries == [RetrievalQuery(tenant=TENANT, text="where?")]


async def test_everything_that_can_be_asked_reaches_the_service(api: Api) -> None:
    filters = {"year": {"$gte": 2020}, "$or": [{"lang": "en"}]}
    body = {
        "query": "where?",
        "top_k": 3,
        "mode": "sparse",
        "domain": "legal",
        "filters": filters,
        "min_score": 0.5,
        "explain": True,
    }
    response = await api.client.post("/v1/retrieve", json=body)
    assert response.status_code == 200
    assert api.services.queries == [
        RetrievalQuery(TENANT, "where?", 3, Mode.SPARSE, "legal", filters, min_score=0.5, explain=True)
    ]


async def test_a_plain_answer_has_the_members_of_the_contract_and_no_more(api: Api) -> None:
    document = (await api.client.post("/v1/retrieve", json={"query": "x"})).json()
    assert document.keys() == {"results", "degraded", "timings_ms", "request_id"}
    (result,) = document["results"]
    assert result.keys() == {
        "chunk_id",
        "document_id",
        "title",
        "text",
        "score",
        "rank",
        "metadata",
        "start",
        "end",
    }
    assert result["metadata"] == {"lang": "en", "none": None}
    assert document["timings_ms"]["search"] == 1.23
    assert document["timings_ms"]["total"] > 0


async def test_an_explained_answer_says_what_each_lane_did(api: Api) -> None:
    document = (await api.client.post("/v1/retrieve", json={"query": "x", "explain": True})).json()
    assert document["results"][0]["lanes"] == {"sparse": {"rank": 1, "score": 3.5, "contribution": 0.4}}
    assert document["coverage"] == {"sparse": 1.0}


@pytest.mark.req("R8.7")
@pytest.mark.parametrize(
    ("member", "code"),
    [
        ({"query": ""}, "empty"),
        ({"query": "  "}, "empty"),
        ({"query": "x" * 4_001}, "string-too-long"),
        ({"top_k": 0}, "greater-than-equal"),
        ({"top_k": 1_000}, "less-than-equal"),
        ({"top_k": 10.0}, "int-type"),
        ({"top_k": "10"}, "int-type"),
        ({"mode": "fuzzy"}, "enum"),
        ({"min_score": 1.1}, "less-than-equal"),
        ({"min_score": -0.1}, "greater-than-equal"),
        ({"filters": [1]}, "dict-type"),
        ({"explain": "yes"}, "bool-type"),
        ({"rerank": True}, "unknown-field"),
        ({"diversity": {}}, "unknown-field"),
        ({"Query": "x"}, "unknown-field"),
    ],
)
async def test_a_bad_field_of_a_query_is_named(api: Api, member: dict[str, Any], code: str) -> None:
    response = await api.client.post("/v1/retrieve", json={"query": "x", **member})
    assert response.status_code == 422
    (field,) = member
    assert [(error["loc"], error["code"]) for error in response.json()["errors"]] == [(f"/{field}", code)]
    assert api.services.queries == []


async def test_all_bad_fields_are_named_at_once(api: Api) -> None:
    response = await api.client.post("/v1/retrieve", json={"query": "", "top_k": 0, "mode": "x", "y/z": 1})
    assert [error["loc"] for error in response.json()["errors"]] == ["/query", "/top_k", "/mode", "/y~1z"]


async def test_what_the_service_finds_in_filters_is_named(api: Api) -> None:
    api.services.error = ValidationError.of("/filters/colour", "unknown-field", "There is no such field.")
    response = await api.client.post("/v1/retrieve", json={"query": "x", "filters": {"colour": "red"}})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"loc": "/filters/colour", "code": "unknown-field", "message": "There is no such field."}
    ]


async def test_no_lane_at_all_is_503_with_the_reason_of_each(api: Api) -> None:
    api.services.error = RetrievalError({"semantic": "timeout", "sparse": "open"}, retry_after_s=2.5)
    response = await api.client.post("/v1/retrieve", json={"query": "x"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "3"
    assert response.json()["degraded"] == ["semantic:timeout", "sparse:open"]


async def test_a_message_reaches_the_service(api: Api) -> None:
    body = {
        "message": "where?",
        "session_id": "s-1",
        "user_id": "u@x",
        "top_k": 3,
        "mode": "semantic",
        "domain": "legal",
        "filters": {"lang": "en"},
    }
    assert (await api.client.post("/v1/chat", json=body)).status_code == 200
    assert api.services.messages == [
        ChatQuery(TENANT, "where?", "s-1", "u@x", 3, Mode.SEMANTIC, "legal", {"lang": "en"})
    ]


async def test_a_chat_answer_has_the_members_of_the_contract(api: Api) -> None:
    document = (await api.client.post("/v1/chat", json={"message": "x"})).json()
    assert document.keys() == {
        "answer",
        "citations",
        "grounded",
        "degraded",
        "session_id",
        "message_id",
        "persisted",
        "finish_reason",
        "usage",
        "timings_ms",
        "request_id",
    }
    (citation,) = document["citations"]
    assert citation.keys() == {"n", "chunk_id", "document_id", "title", "start", "end", "score", "text"}


async def test_a_citation_says_its_page_where_there_are_pages(api: Api) -> None:
    api.services.page = 4
    (citation,) = (await api.client.post("/v1/chat", json={"message": "x"})).json()["citations"]
    assert citation["page"] == 4


async def test_a_result_says_its_page_instead_of_where_all_pages_lie(api: Api) -> None:
    api.services.passage = replace(PASSAGE, start=25, metadata={"lang": "en", "pages": [10, 10, 10]})
    (result,) = (await api.client.post("/v1/retrieve", json={"query": "x"})).json()["results"]
    assert (result["page"], result["metadata"]) == (3, {"lang": "en"})
    api.services.passage = replace(PASSAGE, metadata={"pages": 12})
    (result,) = (await api.client.post("/v1/retrieve", json={"query": "x"})).json()["results"]
    assert "page" not in result
    assert result["metadata"] == {"pages": 12}


@pytest.mark.req("R8.7")
@pytest.mark.parametrize(
    ("member", "code"),
    [
        ({"message": " "}, "empty"),
        ({"message": "x" * 16_001}, "string-too-long"),
        ({"session_id": "a b"}, "string-pattern-mismatch"),
        ({"user_id": ""}, "string-pattern-mismatch"),
        ({"top_k": 101}, "less-than-equal"),
        ({"stream": True}, "unknown-field"),
    ],
)
async def test_a_bad_field_of_a_message_is_named(api: Api, member: dict[str, Any], code: str) -> None:
    response = await api.client.post("/v1/chat", json={"message": "x", **member})
    assert response.status_code == 422
    (field,) = member
    assert [(error["loc"], error["code"]) for error in response.json()["errors"]] == [(f"/{field}", code)]


async def test_a_session_of_somebody_else_is_not_found(api: Api) -> None:
    api.services.error = NotFound("There is no such session.")
    response = await api.client.post("/v1/chat", json={"message": "x", "session_id": "s_2"})
    assert response.status_code == 404
    assert "s_2" not in response.text
