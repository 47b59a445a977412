"""What was acknowledged is there after any end of the process, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import handbook, questions
from tests.servers.processes import wait_until
from tests.servers.service import ServiceProcess

pytestmark = pytest.mark.xdist_group("e2e-restart")


@pytest.fixture
def fresh() -> Iterator[ServiceProcess]:
    with ServiceProcess() as running:
        yield running


def rankings(service: ServiceProcess) -> list[list[tuple[str, float]]]:
    answers = [
        httpx.post(f"{service.url}/v1/retrieve", json={"query": question["text"]}, timeout=30).json()
        for question in questions()[:10]
    ]
    return [[(result["chunk_id"], result["score"]) for result in answer["results"]] for answer in answers]


def many(count: int) -> list[dict[str, Any]]:
    base = handbook()
    return [
        {**base[number % len(base)], "id": f"copy-{number}", "title": f"{base[number % len(base)]['title']} {number}"}
        for number in range(count)
    ]


def test_a_clean_restart_returns_the_same_rankings_and_plain_uvicorn_serves_the_same(fresh: ServiceProcess) -> None:
    httpx.post(f"{fresh.url}/v1/ingest", json={"documents": handbook()}, timeout=300).raise_for_status()
    before = rankings(fresh)
    fresh.end()
    with ServiceProcess(folder=fresh.folder, plain_uvicorn=True) as again:
        assert rankings(again) == before


@pytest.mark.req("R6.1")
def test_kill_9_in_the_middle_of_an_ingest_loses_nothing_acknowledged_and_doubles_nothing(
    fresh: ServiceProcess,
) -> None:
    documents = many(240)
    acknowledged: list[str] = []

    def send() -> None:
        for first in range(0, len(documents), 20):
            try:
                answer = httpx.post(
                    f"{fresh.url}/v1/ingest", json={"documents": documents[first : first + 20]}, timeout=300
                )
            except httpx.HTTPError:
                return
            acknowledged.extend(outcome["id"] for outcome in answer.json()["documents"])

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: len(acknowledged) >= 60, within_s=120, what="the first acknowledgements")
    fresh.kill9()  # the Milvus child goes with it
    sender.join()
    fresh.start()
    with httpx.Client(base_url=fresh.url, timeout=300) as client:
        for name in acknowledged:
            assert client.get(f"/v1/documents/{name}").status_code == httpx.codes.OK
        outcomes = client.post("/v1/ingest", json={"documents": documents}).json()["documents"]
        statuses = {outcome["id"]: outcome["status"] for outcome in outcomes}
        assert {statuses[name] for name in acknowledged} == {"unchanged"}
        assert set(statuses.values()) <= {"unchanged", "indexed"}
        for question in questions()[:10]:
            results = client.post("/v1/retrieve", json={"query": question["text"], "top_k": 100}).json()["results"]
            places = [(result["document_id"], result["start"]) for result in results]
            assert len(places) == len(set(places))
