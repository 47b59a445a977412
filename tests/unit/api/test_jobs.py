"""`Prefer: respond-async` and `/v1/jobs` (RFC 7240, R6.1, R6.14, R7.4)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from advanced_rag.exceptions import DependencyUnavailable
from advanced_rag.services.job_runner import JobRunner, JobRunnerValues
from tests.fakes.services import InlineWorkers
from tests.unit.api.fake_services import Api

VALUES = JobRunnerValues(
    lease_s=30.0,
    heartbeat_s=10.0,
    poll_s=0.01,
    documents_per_group=2,
    max_attempts=3,
    backoff_base_s=1.0,
    backoff_max_s=60.0,
)
FINE = {"text": "fine"}


async def _later(api: Api, *documents: Any, prefer: str = "respond-async") -> Any:
    return await api.client.post("/v1/ingest", json={"documents": list(documents)}, headers={"Prefer": prefer})


def runner(api: Api) -> JobRunner:
    return JobRunner(api.services.job_store, api.services, InlineWorkers(), VALUES)


async def test_an_asynchronous_ingest_is_accepted_with_its_job(api: Api) -> None:
    answer = await _later(api, FINE, FINE, prefer="handling=lenient, Respond-Async")
    assert answer.status_code == 202
    body = answer.json()
    assert (body["state"], body["documents"]) == ("queued", 2)
    assert answer.headers["Location"] == body["location"] == f"/v1/jobs/{body['id']}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Vary"] == "Prefer"
    assert answer.headers["Retry-After"] == "1"
    assert api.services.ingested == []
    job = (await api.client.get(body["location"])).json()
    assert (job["state"], job["progress"]) == ("queued", {"total": 2, "done": 0, "failed": 0})


async def test_without_the_preference_the_answer_is_the_documents(api: Api) -> None:
    answer = await api.client.post("/v1/ingest", json={"documents": [FINE]}, headers={"Prefer": "unheard=of"})
    assert answer.status_code == 200
    assert answer.headers["Vary"] == "Prefer"
    assert "Preference-Applied" not in answer.headers


@pytest.mark.req("R6.14")
async def test_a_job_has_a_line_for_each_document_in_order(api: Api) -> None:
    location = (await _later(api, {"id": "a", **FINE}, {"id": "b", "text": ""}, {"id": "c", **FINE})).headers[
        "Location"
    ]
    assert await runner(api).run_one()
    job = (await api.client.get(location)).json()
    assert (job["state"], job["progress"]) == ("succeeded", {"total": 3, "done": 3, "failed": 1})
    assert [(line["id"], line["status"]) for line in job["documents"]] == [
        ("a", "indexed"),
        ("b", "failed"),
        ("c", "indexed"),
    ]
    assert job["documents"][1]["error"]["loc"] == "/documents/1/text"


async def test_a_batch_without_one_good_document_is_refused_at_once(api: Api) -> None:
    assert (await _later(api, {"text": ""})).status_code == 422
    assert api.services.job_store.rows == {}


@pytest.mark.req("R6.1")
async def test_nothing_is_accepted_that_is_not_stored(api: Api) -> None:
    api.services.job_store.error = DependencyUnavailable("database")
    answer = await _later(api, FINE)
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/database-unavailable"


async def test_a_client_that_can_wait_gets_the_end_if_it_comes_in_time(api: Api) -> None:
    running = runner(api)
    task = asyncio.create_task(running.run())
    answer = await _later(api, {"id": "a", **FINE}, {"id": "b", "text": ""}, prefer="respond-async, wait=5")
    running.stop()
    await task
    assert answer.status_code == 200
    assert [(line["id"], line["status"]) for line in answer.json()["documents"]] == [("a", "indexed"), ("b", "failed")]
    assert "Preference-Applied" not in answer.headers


async def test_a_client_that_has_waited_long_enough_gets_the_job(api: Api) -> None:
    answer = await _later(api, FINE, prefer="respond-async, wait=0")
    assert answer.status_code == 202
    async with asyncio.timeout(5.0):
        assert (await _later(api, FINE, prefer="respond-async; wait=9, wait=1")).status_code == 202


async def test_jobs_are_listed_newest_first(api: Api) -> None:
    ids = [(await _later(api, FINE)).json()["id"] for _ in range(3)]
    first = (await api.client.get("/v1/jobs", params={"limit": 2})).json()
    assert [job["id"] for job in first["jobs"]] == [ids[2], ids[1]]
    rest = (await api.client.get("/v1/jobs", params={"cursor": first["next_cursor"]})).json()
    assert [job["id"] for job in rest["jobs"]] == [ids[0]]
    assert rest["next_cursor"] is None
    assert "documents" not in first["jobs"][0]
    assert (await api.client.get("/v1/jobs", params={"cursor": "?"})).status_code == 422


async def test_a_job_is_cancelled_once_and_only_before_its_end(api: Api) -> None:
    location = (await _later(api, FINE)).headers["Location"]
    for _ in range(2):
        answer = await api.client.delete(location)
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert not await runner(api).run_one()
    location = (await _later(api, FINE)).headers["Location"]
    await runner(api).run_one()
    answer = await api.client.delete(location)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")


async def test_there_is_no_job_that_there_is_not(api: Api) -> None:
    for method in ("GET", "DELETE"):
        answer = await api.client.request(method, "/v1/jobs/j_unheard-of")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert (await api.client.get("/v1/jobs/j_x", headers={"Accept": "text/event-stream"})).status_code == 404


def _events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event:")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def test_progress_comes_as_events_until_the_end(api: Api) -> None:
    location = (await _later(api, *({"id": f"d{number}", **FINE} for number in range(5)))).headers["Location"]
    api.services.hangs = True
    watching = asyncio.create_task(
        api.client.get(location, headers={"Accept": "application/json;q=0.5, text/event-stream"})
    )
    running = asyncio.create_task(runner(api).run_one())
    await api.services.entered.wait()
    await asyncio.sleep(0.05)  # some looks, none of which shows anything new
    api.services.released.set()
    await running
    stream = await watching
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["Cache-Control"] == "no-store"
    assert stream.headers["X-Accel-Buffering"] == "no"
    assert stream.text.startswith("retry: 1000\n\n")
    events = _events(stream.text)
    assert [name for name, _ in events[:-1]] == ["progress"] * (len(events) - 1)
    assert len(events) <= 5
    name, job = events[-1]
    assert (name, job["state"], len(job["documents"])) == ("done", "succeeded", 5)
    assert job["request_id"] == stream.headers["X-Request-ID"]


@pytest.mark.req("R7.4")
async def test_streams_end_at_once_when_the_process_is_draining(api: Api) -> None:
    location = (await _later(api, FINE)).headers["Location"]
    watching = asyncio.create_task(api.client.get(location, headers={"Accept": "text/event-stream"}))
    await asyncio.sleep(0.02)
    api.services.draining.set()
    async with asyncio.timeout(1.0):
        stream = await watching
    assert stream.text.startswith("retry: 1000\n\n")
    assert [name for name, _ in _events(stream.text)] == ["progress"]


async def test_a_stream_ends_before_its_deadline(api: Api) -> None:
    location = (await _later(api, FINE)).headers["Location"]
    headers = {"Accept": "text/event-stream", "X-Request-Timeout-Ms": "2050"}
    async with asyncio.timeout(5.0):
        stream = await api.client.get(location, headers=headers)
    assert stream.status_code == 200
    assert [name for name, _ in _events(stream.text)] == ["progress"]


async def test_a_stream_says_when_the_database_is_gone(api: Api) -> None:
    location = (await _later(api, FINE)).headers["Location"]
    watching = asyncio.create_task(api.client.get(location, headers={"Accept": "text/event-stream"}))
    await asyncio.sleep(0.05)
    api.services.job_store.error = DependencyUnavailable("database")
    stream = await watching
    assert [name for name, _ in _events(stream.text)] == ["progress", "error"]
    assert _events(stream.text)[1][1]["type"] == "/problems/database-unavailable"
