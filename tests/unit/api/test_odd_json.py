"""Each odd literal on each field of each endpoint: refused by name, never a 500, never repeated (M15, R8.6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.api.fake_services import Api

JSON = {"Content-Type": "application/json"}
CANARY = "zqxj"

LITERALS = {
    "nan": b"NaN",
    "infinity": b"-Infinity",
    "huge float": b"1e400",
    "huge integer": b"9223372036854775808",
    "lone surrogate": f'"{CANARY}\\ud800"'.encode(),
    "nul": f'"{CANARY}\\u0000"'.encode(),
    "not utf-8": b'"' + CANARY.encode() + b'\xff"',
    "duplicate": b'{"q": 1, "q": 2}',
    "deep": b"[" * 40 + b"]" * 40,
    "surrogate in a name": b'{"\\udc00": 1}',
}
REQUIRED: dict[str, dict[str, Any]] = {
    "/v1/retrieve": {"query": "x"},
    "/v1/chat": {"message": "x"},
    "/v1/ingest": {"documents": [{"text": "x"}]},
    "/v1/feedback": {"message_id": "m", "vote": "up"},
}
FIELDS = {
    "/v1/retrieve": ("query", "top_k", "mode", "domain", "filters", "min_score", "explain", "unknown"),
    "/v1/chat": ("message", "session_id", "user_id", "top_k", "mode", "domain", "filters", "stream", "unknown"),
    "/v1/ingest": ("documents", "unknown"),
    "/v1/feedback": ("message_id", "vote", "comment", "unknown"),
}
DOCUMENT_FIELDS = ("id", "text", "title", "domain", "metadata", "unknown")


def _with(body: dict[str, Any], field: str, literal: bytes) -> bytes:
    return json.dumps({**body, field: "@"}).encode().replace(b'"@"', literal)


@pytest.mark.req("R8.6")
@pytest.mark.parametrize("literal", LITERALS.values(), ids=LITERALS.keys())
async def test_an_odd_literal_is_refused_by_its_field(api: Api, literal: bytes) -> None:
    for path, fields in FIELDS.items():
        for field in fields:
            body = _with(REQUIRED[path], field, literal)
            response = await api.client.post(path, content=body, headers=JSON)
            assert response.status_code == 422
            document = response.json()
            assert document["type"] == "/problems/validation"
            assert any(error["loc"].startswith(f"/{field}") for error in document["errors"])
            assert CANARY not in response.text


@pytest.mark.req("R8.6")
@pytest.mark.parametrize("literal", LITERALS.values(), ids=LITERALS.keys())
async def test_an_odd_literal_in_a_document_refuses_the_batch_by_its_field(api: Api, literal: bytes) -> None:
    for field in DOCUMENT_FIELDS:
        body = b'{"documents": [{"text": "fine"}, ' + _with({"text": "x"}, field, literal) + b"]}"
        response = await api.client.post("/v1/ingest", content=body, headers=JSON)
        assert response.status_code == 422
        assert any(error["loc"].startswith(f"/documents/1/{field}") for error in response.json()["errors"])
        assert CANARY not in response.text
    assert api.services.ingested == []


WRONG_TYPES: list[Any] = [None, True, 0, 1.5, "text", [], {}, [1], {"a": 1}]
ACCEPTED: dict[str, list[Any]] = {
    "query": ["text"],
    "message": ["text"],
    "top_k": [],
    "mode": [],
    "domain": [None, "text"],
    "session_id": [None, "text"],
    "user_id": [None, "text"],
    "filters": [None, {}, {"a": 1}],
    "min_score": [None, 0],
    "explain": [True],
}


@pytest.mark.parametrize("path", ["/v1/retrieve", "/v1/chat"])
@pytest.mark.parametrize("value", WRONG_TYPES, ids=repr)
async def test_no_field_takes_a_value_of_another_type(api: Api, path: str, value: Any) -> None:
    for field in FIELDS[path]:
        if field not in ACCEPTED:
            continue
        response = await api.client.post(path, json={**REQUIRED[path], field: value})
        fits = any(value == ok and type(value) is type(ok) for ok in ACCEPTED[field])
        assert response.status_code == (200 if fits else 422), field
        if not fits:
            assert response.json()["errors"][0]["loc"].startswith(f"/{field}")


@pytest.mark.parametrize("path", REQUIRED)
async def test_a_body_that_is_no_object_is_refused_as_a_whole(api: Api, path: str) -> None:
    for body in (b"[]", b"null", b"1", b'"x"', b"[{}]"):
        response = await api.client.post(path, content=body, headers=JSON)
        assert response.status_code == 422
        assert [error["loc"] for error in response.json()["errors"]] == [""]


@pytest.mark.parametrize("path", REQUIRED)
async def test_broken_json_is_malformed(api: Api, path: str) -> None:
    for body in (b"", b"{", b"{'query': 1}", b"\xff\xfe"):
        response = await api.client.post(path, content=body, headers=JSON)
        assert response.status_code == 400
        assert response.json()["type"] == "/problems/malformed-json"


@pytest.mark.req("R8.6")
async def test_a_large_body_passes_the_same_gate(api: Api) -> None:
    text = "ж" * 100_000
    good = await api.client.post("/v1/ingest", json={"documents": [{"text": text}]})
    assert good.status_code == 200
    assert api.services.ingested[0].text == text
    body = json.dumps({"documents": [{"text": text}]}, ensure_ascii=False).encode()[:-2] + b', {"text": NaN}]}'
    bad = await api.client.post("/v1/ingest", content=body, headers=JSON)
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["loc"] == "/documents/1/text"
