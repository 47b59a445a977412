"""Ingest jobs in real processes: one that serves and runs none, one that only works and is killed in the middle."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.e2e.conftest import handbook
from tests.servers.processes import ServerProcess, wait_until
from tests.servers.service import ServiceProcess

pytestmark = pytest.mark.xdist_group("e2e-jobs")

LEASE_S: Final = 2.0
SETTINGS: Final = {
    "RAG__JOBS__LEASE_S": str(LEASE_S),
    "RAG__JOBS__HEARTBEAT_S": "0.5",
    "RAG__JOBS__POLL_S": "0.2",
    "RAG__INGEST__DOCUMENTS_PER_GROUP": "4",
}
ENDS_WITHIN_S: Final = 120.0


class WorkerProcess(ServerProcess):
    """`python -m advanced_rag worker` on a service's data."""

    start_limit_s = 120.0
    end_limit_s = 30.0

    def __init__(self, service: ServiceProcess) -> None:
        super().__init__()
        self._environment = {**service.environment(), **SETTINGS}

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "advanced_rag", "worker"]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def answers(self) -> bool:
        return "working on jobs" in self.log.read_text(errors="replace")


@pytest.fixture(scope="module")
def serving() -> Iterator[ServiceProcess]:
    with ServiceProcess({**SETTINGS, "RAG__JOBS__RUNNERS": "0"}) as running:
        yield running


def _job(service: ServiceProcess, location: str) -> dict[str, Any]:
    answer = httpx.get(f"{service.url}{location}", timeout=30.0)
    answer.raise_for_status()
    job: dict[str, Any] = answer.json()
    return job


@pytest.mark.req("R6.1", "R6.3", "R6.15", "K2", "K3")
def test_a_job_outlives_the_worker_that_is_killed_in_the_middle_of_it(serving: ServiceProcess) -> None:
    documents = handbook()
    key = {"Prefer": "respond-async", "Idempotency-Key": "job-1"}
    accepted = httpx.post(f"{serving.url}/v1/ingest", json={"documents": documents}, headers=key, timeout=60.0)
    assert accepted.status_code == 202
    location = accepted.headers["Location"]
    with WorkerProcess(serving) as worker:
        wait_until(
            lambda: _job(serving, location)["progress"]["done"] > 0, within_s=ENDS_WITHIN_S, what="some progress"
        )
        worker.kill9()
    killed_at = _job(serving, location)
    with WorkerProcess(serving):
        wait_until(
            lambda: _job(serving, location)["state"] not in ("queued", "running"),
            within_s=ENDS_WITHIN_S,
            what="the job's end",
        )
    job = _job(serving, location)
    assert job["state"] == "succeeded"
    assert job["progress"] == {"total": len(documents), "done": len(documents), "failed": 0}
    assert killed_at["progress"]["done"] <= len(documents)
    assert {line["status"] for line in job["documents"]} == {"indexed"}
    assert [line["id"] for line in job["documents"]] == [document["id"] for document in documents]
    for document in documents[:5]:
        found = httpx.get(f"{serving.url}/v1/documents/{document['id']}", timeout=30.0).json()
        assert (found["text"], found["version"]) == (
            document["text"],
            next(line["version"] for line in job["documents"] if line["id"] == document["id"]),
        )
    again = httpx.post(f"{serving.url}/v1/ingest", json={"documents": documents}, headers=key, timeout=60.0)
    assert (again.status_code, again.json()) == (202, accepted.json())
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_finished_jobs_stream_is_its_end(serving: ServiceProcess) -> None:
    accepted = httpx.post(
        f"{serving.url}/v1/ingest",
        json={"documents": [{"id": "one", "text": "One document."}]},
        headers={"Prefer": "respond-async"},
        timeout=60.0,
    )
    location = accepted.headers["Location"]
    assert httpx.delete(f"{serving.url}{location}", timeout=30.0).json()["state"] == "cancelled"
    with httpx.stream(
        "GET", f"{serving.url}{location}", headers={"Accept": "text/event-stream"}, timeout=30.0
    ) as stream:
        lines = list(stream.iter_lines())
    assert lines[0] == "retry: 1000"
    assert "event: done" in lines
    data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["state"] == "cancelled"
