"""`POST /v1/ingest`: each document for itself (R6.14), sizes (R8.7)."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from advanced_rag.constants import MAX_METADATA_KEYS, MAX_TEXT_BYTES, MAX_TITLE_CHARS
from advanced_rag.domain.documents import DocumentId
from advanced_rag.exceptions import DependencyUnavailable, InsufficientStorage
from advanced_rag.services.ingest_outcome import IngestError, IngestOutcome, IngestStatus
from advanced_rag.services.preparation import GivenDocument
from tests.unit.api.fake_services import Api

FINE = {"text": "fine"}


async def _ingest(api: Api, *documents: Any) -> Any:
    return await api.client.post("/v1/ingest", json={"documents": list(documents)})


async def test_documents_reach_the_service_as_they_were_given(api: Api) -> None:
    whole = {
        "id": "a/b:c@d.e-f",
        "text": " t\n",
        "title": "T",
        "domain": "legal",
        "metadata": {"year": 2026, "x": None},
    }
    response = await _ingest(api, whole, FINE)
    assert response.status_code == 200
    assert api.services.ingested == [
        GivenDocument(text=" t\n", id="a/b:c@d.e-f", title="T", domain="legal", metadata={"year": 2026, "x": None}),
        GivenDocument(text="fine", id=None, title="", domain="", metadata={}),
    ]
    assert response.json()["documents"] == [
        {"id": "a/b:c@d.e-f", "status": "indexed", "version": 1, "chunks": 1},
        {"id": "d_made", "status": "indexed", "version": 1, "chunks": 1},
    ]


async def test_null_is_absent(api: Api) -> None:
    await _ingest(api, {"id": None, "text": "t", "title": None, "domain": None, "metadata": None})
    assert api.services.ingested == [GivenDocument(text="t", id=None, title="", domain="", metadata={})]


@pytest.mark.req("R8.6")
async def test_ids_are_composed(api: Api) -> None:
    decomposed = unicodedata.normalize("NFD", "café")
    response = await _ingest(api, {"id": decomposed, "text": "t"})
    assert response.json()["documents"][0]["id"] == "café"
    assert decomposed != "café"


BAD: list[tuple[Any, str, str]] = [
    ({"text": ""}, "/text", "empty"),
    ({"text": " \n\t\u2003"}, "/text", "empty"),
    ({"text": "x" * (MAX_TEXT_BYTES + 1)}, "/text", "too-large"),
    ({"text": "ж" * (MAX_TEXT_BYTES // 2 + 1)}, "/text", "too-large"),
    ({"text": 1}, "/text", "string-type"),
    ({}, "/text", "missing"),
    ({**FINE, "id": ""}, "/id", "string-pattern-mismatch"),
    ({**FINE, "id": "a b"}, "/id", "string-pattern-mismatch"),
    ({**FINE, "id": "a\n"}, "/id", "string-pattern-mismatch"),
    ({**FINE, "id": "x" * 129}, "/id", "string-pattern-mismatch"),
    ({**FINE, "id": 7}, "/id", "string-type"),
    ({**FINE, "title": "x" * (MAX_TITLE_CHARS + 1)}, "/title", "string-too-long"),
    ({**FINE, "domain": "no spaces"}, "/domain", "string-pattern-mismatch"),
    ({**FINE, "metadata": []}, "/metadata", "dict-type"),
    ({**FINE, "metadata": {str(i): i for i in range(MAX_METADATA_KEYS + 1)}}, "/metadata", "too-many"),
    ({**FINE, "metadata": {"a": "x" * 16_384}}, "/metadata", "too-large"),
    ({**FINE, "txet": "x"}, "/txet", "unknown-field"),
    ("fine", "", "model-type"),
    (None, "", "model-type"),
    ([], "", "model-type"),
]


@pytest.mark.req("R6.14")
@pytest.mark.parametrize(("document", "loc", "code"), BAD, ids=[f"{loc} {code}" for _, loc, code in BAD])
async def test_a_bad_document_fails_alone_and_by_name(api: Api, document: Any, loc: str, code: str) -> None:
    response = await _ingest(api, FINE, document, {"id": "last", **FINE})
    assert response.status_code == 200
    first, bad, last = response.json()["documents"]
    assert (first["status"], last["status"], last["id"]) == ("indexed", "indexed", "last")
    assert bad["status"] == "failed"
    assert bad["version"] is None
    assert (bad["error"]["loc"], bad["error"]["code"]) == (f"/documents/1{loc}", code)
    assert bad["error"]["retryable"] is False
    assert len(api.services.ingested) == 2


@pytest.mark.req("R8.7")
async def test_sizes_at_the_limit_go_in(api: Api) -> None:
    largest = {
        "id": "x" * 128,
        "text": "x" * MAX_TEXT_BYTES,
        "title": "x" * MAX_TITLE_CHARS,
        "metadata": {str(i): "x" for i in range(MAX_METADATA_KEYS)},
    }
    assert (await _ingest(api, largest)).json()["documents"][0]["status"] == "indexed"


async def test_a_refused_document_keeps_its_id_if_that_is_one(api: Api) -> None:
    response = await _ingest(api, FINE, {"id": "good", "text": ""}, {"id": "bad id", "text": ""})
    assert [line["id"] for line in response.json()["documents"][1:]] == ["good", None]
    assert "bad id" not in response.text


@pytest.mark.req("R6.14")
async def test_a_batch_without_one_good_document_is_422(api: Api) -> None:
    response = await _ingest(api, {"text": ""}, {"id": "a b", "text": "x"})
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["errors"]] == ["/documents/0/text", "/documents/1/id"]
    assert api.services.ingested == []


@pytest.mark.req("R8.7")
@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"documents": []}, "/documents"),
        ({"documents": [FINE] * 1_001}, "/documents"),
        ({"documents": {}}, "/documents"),
        ({}, "/documents"),
        ({"documents": [FINE], "extra": 1}, "/extra"),
    ],
)
async def test_the_envelope_is_strict(api: Api, body: dict[str, Any], loc: str) -> None:
    response = await api.client.post("/v1/ingest", json=body)
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["errors"]] == [loc]
    assert api.services.ingested == []


async def test_a_thousand_documents_go_in_in_order(api: Api) -> None:
    response = await _ingest(api, *({"id": str(i), "text": "x"} for i in range(1_000)))
    assert [line["id"] for line in response.json()["documents"]] == [str(i) for i in range(1_000)]


def _failing(error: IngestError) -> Any:
    return lambda document: IngestOutcome(DocumentId(document.id or "d"), IngestStatus.FAILED, error=error)


@pytest.mark.req("R6.14")
async def test_what_the_service_refuses_is_named_within_the_request(api: Api) -> None:
    refusal = IngestError("wrong-type", "It is an int.", "/metadata/year")

    def outcome(document: GivenDocument) -> IngestOutcome:
        if document.id == "bad":
            return IngestOutcome(DocumentId("bad"), IngestStatus.FAILED, error=refusal)
        return IngestOutcome(DocumentId("good"), IngestStatus.UNCHANGED, version=3, chunks=2)

    api.services.outcome_of = outcome
    response = await _ingest(api, {"id": "good", **FINE}, {"text": ""}, {"id": "bad", **FINE})
    lines = response.json()["documents"]
    assert [line["status"] for line in lines] == ["unchanged", "failed", "failed"]
    assert lines[2]["error"]["loc"] == "/documents/2/metadata/year"
    api.services.outcome_of = _failing(refusal)
    assert (await _ingest(api, FINE)).status_code == 422


@pytest.mark.req("R6.14")
async def test_documents_that_may_go_in_later_are_no_invalid_request(api: Api) -> None:
    api.services.outcome_of = _failing(IngestError("deadline-exceeded", "No time was left.", retryable=True))
    response = await _ingest(api, FINE)
    assert response.status_code == 200
    assert response.json()["documents"][0]["error"] == {
        "code": "deadline-exceeded",
        "message": "No time was left.",
        "retryable": True,
    }


@pytest.mark.req("R6.14")
async def test_when_nothing_could_be_tried_the_request_fails(api: Api) -> None:
    api.services.error = DependencyUnavailable("database")
    response = await _ingest(api, FINE)
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/database-unavailable"
    assert response.headers["Retry-After"] == "1"
    api.services.error = InsufficientStorage("the disk is full")
    response = await _ingest(api, FINE)
    assert (response.status_code, response.headers["Retry-After"]) == (507, "60")
