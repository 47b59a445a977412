"""What stands on every answer (R8.18), and what a request's own headers may be (R8.9)."""

from __future__ import annotations

import httpx
import pytest

from advanced_rag.api.middleware.header_limits import MAX_HEADER_VALUE_BYTES, MAX_HEADERS
from tests.unit.api.fake_services import Api, running_api

EXPECTED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


async def _answers(api: Api) -> list[httpx.Response]:
    """One answer of every route, and one of every way to be refused."""
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    answers = [
        await api.client.request(method, path.replace("{id}", "keys").replace("{name}", "internal"))
        for path, operations in paths.items()
        for method in operations
    ]
    answers += [
        await api.client.get("/docs"),
        await api.client.get("/docs/assets/start.js"),
        await api.client.get("/nowhere"),
        await api.client.put("/v1/retrieve"),
        await api.client.post("/v1/retrieve", json={}),
        await api.client.post("/v1/retrieve", content=b"{", headers={"Content-Type": "application/json"}),
        await api.client.post("/v1/retrieve", content=b"x" * 1_000_001, headers={"Content-Type": "application/json"}),
        await api.client.get("/healthz", headers={"X-Big": "x" * 9_000}),
    ]
    api.services.error = RuntimeError("bug")
    answers.append(await api.client.post("/v1/retrieve", json={"query": "x"}))
    return answers


@pytest.mark.req("R8.18")
async def test_every_answer_carries_the_security_headers(api: Api) -> None:
    answers = await _answers(api)
    assert {200, 400, 404, 405, 413, 415, 422, 431, 500} <= {answer.status_code for answer in answers}
    for answer in answers:
        where = f"{answer.request.method} {answer.request.url.path} {answer.status_code}"
        assert {name: answer.headers.get(name) for name in EXPECTED} == EXPECTED, where
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'"), where
        assert answer.headers["X-Request-ID"], where
        assert "Strict-Transport-Security" not in answer.headers, where
        if not answer.request.url.path.startswith("/docs/assets"):
            assert answer.headers["Cache-Control"] == "no-store", where


@pytest.mark.req("R8.18")
async def test_every_refusal_is_a_problem_document(api: Api) -> None:
    for answer in await _answers(api):
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
            page = await api.client.get(answer.json()["type"])
            assert page.status_code == 200


@pytest.mark.req("R8.18")
async def test_over_tls_browsers_are_told_to_stay_there(api: Api) -> None:
    response = await api.client.get("https://test/healthz/live")
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.req("R8.18")
async def test_a_bug_is_answered_without_its_trace_and_logged_with_it(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.services.error = RuntimeError("the inside of it")
    response = await api.client.post("/v1/retrieve", json={"query": "x"})
    assert response.status_code == 500
    assert response.json()["type"] == "/problems/internal"
    assert "inside" not in response.text
    assert "Traceback" not in response.text
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info is not None
    assert "the inside of it" in str(record.exc_info[1])


@pytest.mark.req("R8.9")
@pytest.mark.parametrize(
    "headers",
    [
        [(f"X-{i}", "v") for i in range(MAX_HEADERS + 1)],
        [("X-Long", "v" * (MAX_HEADER_VALUE_BYTES + 1))],
        [(f"X-{i}", "v" * 5_000) for i in range(8)],
    ],
    ids=["too many", "one too long", "too long together"],
)
async def test_too_much_in_headers_is_431(api: Api, headers: list[tuple[str, str]]) -> None:
    response = await api.client.get("/v1/documents", headers=headers)
    assert response.status_code == 431
    assert response.json()["type"] == "/problems/header-too-large"
    assert response.headers["Connection"] == "close"


@pytest.mark.req("R8.9")
async def test_headers_within_the_limits_pass(api: Api) -> None:
    headers = [("X-Long", "v" * MAX_HEADER_VALUE_BYTES), *((f"X-{i}", "v") for i in range(80))]
    assert (await api.client.get("/v1/documents", headers=headers)).status_code == 200


async def test_a_wrong_method_is_told_the_right_ones(api: Api) -> None:
    response = await api.client.put("/v1/retrieve")
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    assert (await api.client.post("/v1/documents/keys")).headers["Allow"] == "DELETE, GET, PATCH"


async def test_before_the_services_are_there_the_answer_is_starting() -> None:
    async with running_api() as api:
        app = api.app
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/healthz/ready")
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/starting"
    assert response.headers["Retry-After"] == "5"
