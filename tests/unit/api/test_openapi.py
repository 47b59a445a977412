"""The API's description of itself, and the pages made from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from advanced_rag.api.app import ApiOptions
from advanced_rag.api.problem_types import PROBLEM_MEDIA_TYPE, PROBLEM_TYPES
from tests.unit.api.fake_services import Api, running_api

BODY_STATUSES = {"400", "408", "413", "415", "422"}


async def _operations(api: Api) -> dict[str, dict[str, Any]]:
    document = (await api.client.get("/openapi.json")).json()
    return {
        f"{method.upper()} {path}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


async def test_every_operation_documents_the_problems_it_answers_with(api: Api) -> None:
    for name, operation in (await _operations(api)).items():
        refusals = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert {"431", "500"} <= refusals.keys(), name
        if "requestBody" in operation:
            assert refusals.keys() >= BODY_STATUSES, name
        if name.startswith(("GET /v1", "POST /v1", "DELETE /v1")):
            assert {"422", "503", "504"} <= refusals.keys(), name
        for status, answer in refusals.items():
            if (name, status) == ("GET /healthz", "503"):
                continue
            schema = answer["content"][PROBLEM_MEDIA_TYPE]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)


async def test_every_operation_says_what_it_does_and_has_its_own_id(api: Api) -> None:
    operations = await _operations(api)
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    assert all(operation["description"] and operation["tags"] for operation in operations.values())


async def test_aliases_and_pages_are_not_described(api: Api) -> None:
    paths = {name.split()[1] for name in await _operations(api)}
    assert not paths & {"/retrieve", "/ingest", "/chat", "/docs", "/openapi.json"}
    assert {"/v1/retrieve", "/v1/ingest", "/v1/chat", "/v1/documents", "/v1/documents/{id}", "/readiness"} <= paths
    assert {"/v1/chat/sessions", "/v1/chat/sessions/{id}", "/v1/chat/sessions/{id}/messages", "/v1/feedback"} <= paths


async def test_the_description_is_consistent(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', (await api.client.get("/openapi.json")).text))
    assert references <= schemas.keys()
    assert "HTTPValidationError" not in schemas  # FastAPI's own error body, which we never answer with
    for name in (
        "RetrieveRequest",
        "RetrieveResponse",
        "ChatRequest",
        "ChatResponse",
        "IngestRequest",
        "IngestResponse",
        "FeedbackRequest",
        "SessionAnswer",
    ):
        assert schemas[name]["examples"], name
    assert schemas["RetrieveRequest"]["additionalProperties"] is False


async def test_the_examples_of_requests_are_accepted(api: Api) -> None:
    schemas = (await api.client.get("/openapi.json")).json()["components"]["schemas"]
    for path, schema in (("retrieve", "RetrieveRequest"), ("chat", "ChatRequest"), ("ingest", "IngestRequest")):
        for example in schemas[schema]["examples"]:
            assert (await api.client.post(f"/v1/{path}", json=example)).status_code == 200


async def test_the_docs_page_loads_nothing_from_elsewhere(api: Api) -> None:
    page = await api.client.get("/docs")
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!doctype", "")
    assert "'self'" in page.headers["Content-Security-Policy"]
    assert "http" not in page.headers["Content-Security-Policy"]
    for source in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        file = await api.client.get(f"/{source}")
        assert file.status_code == 200
        assert file.content
        assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert (await api.client.get("/docs/assets/other.js")).status_code == 404
    assert (await api.client.get("/docs/assets/..%2f..%2fapp.py")).status_code == 404


@pytest.mark.req("R8.18")
async def test_the_docs_can_be_turned_off() -> None:
    async with running_api(ApiOptions(docs_ui=False)) as api:
        for path in ("/docs", "/openapi.json", "/redoc", "/docs/assets/start.js"):
            assert (await api.client.get(path)).status_code == 404


async def test_every_problem_has_a_page(api: Api) -> None:
    for name, kind in PROBLEM_TYPES.items():
        page = await api.client.get(f"/problems/{name}")
        assert page.status_code == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert f"<title>{kind.title}</title>" in page.text
        assert "## What to do" in page.text
    assert (await api.client.get("/problems/unheard-of")).status_code == 404


async def test_problem_pages_are_there_without_the_documentation(tmp_path: Path) -> None:
    async with running_api(ApiOptions(problem_pages=tmp_path)) as api:
        page = await api.client.get("/problems/overloaded")
    assert page.status_code == 200
    assert "More is being asked than can be answered now." in page.text
