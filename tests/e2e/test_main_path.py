"""Documents in, passages and cited answers out, over HTTP against the running service."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from advanced_rag.domain.ranking_metrics import ndcg_at
from tests.e2e.conftest import handbook, questions


def ingest(client: httpx.Client, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/v1/ingest", json={"documents": list(documents)})
    assert answer.status_code == httpx.codes.OK, answer.text
    outcomes: list[dict[str, Any]] = answer.json()["documents"]
    return outcomes


def retrieve(client: httpx.Client, query: str, **options: Any) -> dict[str, Any]:
    answer = client.post("/v1/retrieve", json={"query": query, **options})
    assert answer.status_code == httpx.codes.OK, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_same_documents_again_are_unchanged(client: httpx.Client) -> None:
    outcomes = ingest(client, *handbook())
    assert {outcome["status"] for outcome in outcomes} == {"unchanged"}
    assert [outcome["id"] for outcome in outcomes] == [document["id"] for document in handbook()]


def test_questions_find_their_documents(client: httpx.Client) -> None:
    gains = []
    for question in questions():
        if question["answerable"]:
            body = retrieve(client, question["text"])
            assert body["degraded"] == []
            ranking = list(dict.fromkeys(result["document_id"] for result in body["results"]))
            gains.append(ndcg_at(ranking, question["relevant"], 10))
    assert sum(gains) / len(gains) > 0.75


def test_results_are_ranked_and_their_text_stands_in_the_document(client: httpx.Client) -> None:
    results = retrieve(client, questions()[0]["text"], top_k=5)["results"]
    assert [result["rank"] for result in results] == list(range(1, len(results) + 1))
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for result in results:
        document = client.get(f"/v1/documents/{result['document_id']}").json()
        assert document["text"][result["start"] : result["end"]] == result["text"]


def test_a_question_is_answered_with_a_cited_quotation(client: httpx.Client) -> None:
    grounded = 0
    answerable = [question for question in questions() if question["answerable"]]
    for question in answerable[:12]:
        answer = client.post("/v1/chat", json={"message": question["text"]}).json()
        assert answer["persisted"] is True
        grounded += answer["grounded"]
        for citation in answer["citations"]:
            assert f"[{citation['n']}]" in answer["answer"]
            document = client.get(f"/v1/documents/{citation['document_id']}").json()
            assert document["text"][citation["start"] : citation["end"]] == citation["text"]
            assert citation["text"] in answer["answer"]
    assert grounded >= 9


def test_a_question_without_an_answer_says_so(client: httpx.Client) -> None:
    answer = client.post("/v1/chat", json={"message": "Which spices belong into a Bengali fish curry?"}).json()
    assert answer["grounded"] is False
    assert answer["citations"] == []
    assert answer["answer"]


def test_a_conversation_goes_on_and_an_unknown_one_does_not(client: httpx.Client) -> None:
    first = client.post("/v1/chat", json={"message": questions()[0]["text"]}).json()
    second = client.post("/v1/chat", json={"message": questions()[1]["text"], "session_id": first["session_id"]})
    assert second.json()["session_id"] == first["session_id"]
    unknown = client.post("/v1/chat", json={"message": "hello", "session_id": "nobody-has-this"})
    assert unknown.status_code == httpx.codes.NOT_FOUND


def test_a_replaced_document_is_only_its_new_self(client: httpx.Client) -> None:
    name = f"replaced/{uuid.uuid4()}"
    marker, later = f"zanzibar{uuid.uuid4().hex}", f"madagascar{uuid.uuid4().hex}"
    assert ingest(client, {"id": name, "text": f"The code word is {marker}."})[0]["status"] == "indexed"
    assert retrieve(client, marker, mode="sparse")["results"][0]["document_id"] == name
    (outcome,) = ingest(client, {"id": name, "text": f"The code word is {later}."})
    assert (outcome["status"], outcome["version"]) == ("replaced", 2)
    assert retrieve(client, later, mode="sparse")["results"][0]["document_id"] == name
    assert all(marker not in result["text"] for result in retrieve(client, marker)["results"])
    assert client.get(f"/v1/documents/{name}").json()["text"] == f"The code word is {later}."


def test_a_deleted_document_is_gone_and_can_come_back(client: httpx.Client) -> None:
    name = f"deleted-{uuid.uuid4()}"
    marker = f"atlantis{uuid.uuid4().hex}"
    document = {"id": name, "text": f"Nobody knows {marker}."}
    ingest(client, document)
    assert client.delete(f"/v1/documents/{name}").status_code in {httpx.codes.OK, httpx.codes.NO_CONTENT}
    assert client.get(f"/v1/documents/{name}").status_code == httpx.codes.NOT_FOUND
    assert all(result["document_id"] != name for result in retrieve(client, marker)["results"])
    assert client.delete(f"/v1/documents/{name}").status_code == httpx.codes.NOT_FOUND
    (outcome,) = ingest(client, document)
    assert outcome["version"] > 1
    assert retrieve(client, marker, mode="sparse")["results"][0]["document_id"] == name


@pytest.mark.req("R6.12")
def test_a_written_document_is_found_at_once(client: httpx.Client) -> None:
    for _ in range(20):
        marker = f"grail{uuid.uuid4().hex}"
        (outcome,) = ingest(client, {"text": f"The {marker} is in the cellar."})
        assert retrieve(client, marker, mode="sparse", top_k=1)["results"][0]["document_id"] == outcome["id"]


@pytest.mark.req("R6.14")
def test_one_bad_document_does_not_fail_the_others(client: httpx.Client) -> None:
    good = {"id": f"good-{uuid.uuid4()}", "text": "The heating of the depot is serviced in May."}
    empty, huge = {"id": "empty", "text": " \n"}, {"id": "huge", "text": "x" * 3_000_000}
    wrong = {"id": "wrong", "text": "The year is a string here.", "metadata": {"year": "2020"}}
    outcomes = ingest(client, empty, good, huge, wrong)
    assert [outcome["status"] for outcome in outcomes] == ["failed", "indexed", "failed", "failed"]
    assert "text" in str(outcomes[0]["error"])
    assert "text" in str(outcomes[2]["error"])
    assert "year" in str(outcomes[3]["error"])


def test_filters_choose_by_metadata(client: httpx.Client) -> None:
    german = retrieve(client, questions()[0]["text"], filters={"lang": "de"})["results"]
    assert german
    assert {result["metadata"]["lang"] for result in german} == {"de"}
    both = retrieve(client, questions()[0]["text"], filters={"$and": [{"lang": "de"}, {"lang": {"$ne": "de"}}]})
    assert both["results"] == []


@pytest.mark.parametrize("mode", ["semantic", "sparse"])
def test_one_lane_can_be_asked_alone(client: httpx.Client, mode: str) -> None:
    results = retrieve(client, questions()[0]["text"], mode=mode, explain=True)["results"]
    assert results
    assert {lane for result in results for lane in result["lanes"]} == {mode}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/retrieve", {"query": "x", "nonsense": 1}, "/nonsense"),
        ("/v1/retrieve", {"query": ""}, "/query"),
        ("/v1/retrieve", {"query": "x", "top_k": 0}, "/top_k"),
        ("/v1/retrieve", {"query": "x", "top_k": 1000}, "/top_k"),
        ("/v1/retrieve", {"query": 5}, "/query"),
        ("/v1/retrieve", {"query": "x", "filters": {"colour": "red"}}, "/filters/colour"),
        ("/v1/retrieve", {"query": "x", "filters": {"year": {"$near": 5}}}, "/filters/year/$near"),
        ("/v1/retrieve", {"query": "x", "mode": "domain"}, "/domain"),
        ("/v1/chat", {"message": " "}, "/message"),
        ("/v1/ingest", {"documents": []}, "/documents"),
        ("/v1/ingest", {"documents": [{"text": ""}]}, "/documents/0/text"),
        ("/v1/ingest", {}, "/documents"),
    ],
)
def test_what_is_wrong_is_named(client: httpx.Client, path: str, body: dict[str, Any], field: str) -> None:
    for alias in (path, path.removeprefix("/v1")):
        answer = client.post(alias, json=body)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["type"] == "/problems/validation"
        assert field in [error["loc"] for error in problem["errors"]]
        assert problem["request_id"] == answer.headers["x-request-id"]


def test_broken_json_is_a_problem_of_its_own(client: httpx.Client) -> None:
    answer = client.post("/v1/retrieve", content=b'{"query": ', headers={"content-type": "application/json"})
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert answer.json()["type"] == "/problems/malformed-json"


def test_health_metrics_and_documentation_are_served(client: httpx.Client) -> None:
    assert client.get("/healthz/live").status_code == httpx.codes.OK
    assert client.get("/healthz/ready").status_code == httpx.codes.OK
    health = client.get("/healthz").json()
    assert health["status"] == "ok"
    assert 'rag_requests_total{endpoint="/v1/retrieve"' in client.get("/metrics").text
    page = client.get("/docs").text
    assert "https://" not in page
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")
