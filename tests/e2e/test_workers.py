"""Two workers on one data folder: one engine between them, and one set of metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import handbook, questions
from tests.servers.processes import process_tree
from tests.servers.service import ServiceProcess

pytestmark = pytest.mark.xdist_group("e2e-workers")

_ASKED = re.compile(r'rag_requests_total\{endpoint="/v1/retrieve",method="POST",status="200"\} (\d+)')


@pytest.fixture(scope="module")
def pair() -> Iterator[ServiceProcess]:
    with ServiceProcess({"RAG__SERVER__WORKERS": "2"}) as running:
        yield running


@pytest.mark.req("R5.5")
def test_two_workers_share_one_engine_and_answer_the_same(pair: ServiceProcess) -> None:
    httpx.post(f"{pair.url}/v1/ingest", json={"documents": handbook()[:10]}, timeout=300).raise_for_status()
    question = {"query": questions()[0]["text"]}
    answers = {
        str([result["chunk_id"] for result in httpx.post(f"{pair.url}/v1/retrieve", json=question).json()["results"]])
        for _ in range(20)
    }
    assert len(answers) == 1
    engines = [pid for pid in process_tree(pair.pid) if "lib/milvus" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(engines) == 1


def test_their_requests_add_up(pair: ServiceProcess) -> None:
    def asked() -> int:
        found = _ASKED.search(httpx.get(f"{pair.url}/metrics").text)
        return int(float(found[1])) if found else 0

    before = asked()
    for _ in range(30):  # a connection each, so that both workers get some
        httpx.post(f"{pair.url}/v1/retrieve", json={"query": "spare keys"}).raise_for_status()
    assert asked() == before + 30
