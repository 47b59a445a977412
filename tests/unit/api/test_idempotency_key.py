"""`Idempotency-Key` over HTTP (R6.5, draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from advanced_rag.exceptions import DependencyUnavailable
from tests.unit.api.fake_services import Api

BODY = {"documents": [{"id": "keys", "text": "Keys."}]}


async def _ingest(
    api: Api, key: str | None, body: Any = BODY, path: str = "/v1/ingest", **headers: str
) -> httpx.Response:
    return await api.client.post(path, json=body, headers={**headers, **({"Idempotency-Key": key} if key else {})})


@pytest.mark.req("R6.5")
async def test_a_repeat_gets_the_stored_status_and_body(api: Api) -> None:
    first = await _ingest(api, "k-1")
    again = await _ingest(api, "k-1")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert len(api.services.ingested) == 1


@pytest.mark.req("R6.5")
async def test_quoted_or_bare_versioned_or_not_it_is_the_same_key_and_body(api: Api) -> None:
    await _ingest(api, "k-1")
    spelled = b'{ "documents": [ {"text": "Keys.", "id": "keys"} ] }'
    headers = {"Idempotency-Key": '"k-1"', "Content-Type": "application/json"}
    again = await api.client.post("/ingest", content=spelled, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.req("R6.5")
async def test_another_body_is_refused(api: Api) -> None:
    await _ingest(api, "k-1")
    other = await _ingest(api, "k-1", {"documents": [{"id": "keys", "text": "Other keys."}]})
    assert other.status_code == 422
    assert other.json()["type"] == "/problems/idempotency-mismatch"
    assert other.json()["idempotency_key"] == "k-1"
    assert len(api.services.ingested) == 1


@pytest.mark.req("R6.5")
async def test_a_hundred_at_once_are_one_execution(api: Api) -> None:
    api.services.hangs = True
    tasks = [asyncio.create_task(_ingest(api, "k-1")) for _ in range(100)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await api.services.entered.wait()
    api.services.released.set()
    answers = await asyncio.gather(*tasks)
    assert len(api.services.ingested) == 1
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    for answer in answers:
        if answer.status_code != 200:
            assert answer.status_code == 409
            assert answer.json()["type"] == "/problems/idempotency-in-progress"
            assert answer.headers["Retry-After"] == "1"
    assert statuses.count(409) >= 1


@pytest.mark.req("R6.5")
async def test_failures_of_ours_and_refusals_before_the_work_are_not_kept(api: Api) -> None:
    assert (await _ingest(api, "k-1", {"documents": [{"text": ""}]})).status_code == 422
    api.services.error = DependencyUnavailable("database")
    assert (await _ingest(api, "k-1")).status_code == 503
    api.services.error = None
    answer = await _ingest(api, "k-1")
    assert answer.status_code == 200
    assert "Idempotency-Replayed" not in answer.headers


@pytest.mark.parametrize(
    "key", ["", " ", '""', '"a', "a b", '"a b"', '"a";b=c', "x" * 256, f'"{"x" * 256}"', "käse", '"a\\b"']
)
async def test_what_is_no_key_is_refused(api: Api, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    answer = await api.client.post("/v1/ingest", json=BODY, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == "/Idempotency-Key"
    assert api.services.ingested == []


async def test_two_keys_are_none(api: Api) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await api.client.post("/v1/ingest", json=BODY, headers=headers)).status_code == 422


@pytest.mark.parametrize("key", ["x" * 255, f'"{"x" * 255}"', "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", 'a"b', "a\\b"])
async def test_visible_ascii_is_a_key(api: Api, key: str) -> None:
    assert (await _ingest(api, key)).status_code == 200
    assert (await _ingest(api, key)).headers["Idempotency-Replayed"] == "true"


async def test_an_escaped_quote_is_a_quote(api: Api) -> None:
    await _ingest(api, 'a"b')
    assert (await _ingest(api, '"a\\"b"')).headers["Idempotency-Replayed"] == "true"


async def test_a_body_that_is_not_read_takes_no_key(api: Api) -> None:
    headers = {"Idempotency-Key": "k-1", "Content-Type": "application/json"}
    assert (await api.client.post("/v1/ingest", content=b"{", headers=headers)).status_code == 400
    assert api.services.key_store.rows == {}


@pytest.mark.req("R6.5")
async def test_a_repeat_of_an_asynchronous_request_gets_the_same_job_whatever_it_prefers(api: Api) -> None:
    first = await _ingest(api, "k-1", Prefer="respond-async")
    again = await _ingest(api, "k-1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Preference-Applied"] == "respond-async"
    assert again.json() == first.json()
    assert len(api.services.job_store.rows) == 1
