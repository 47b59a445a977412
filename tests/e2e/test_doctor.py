"""`doctor` beside a running service, and over an index that has lost everything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.conftest import handbook
from tests.servers.service import ServiceProcess

pytestmark = pytest.mark.xdist_group("e2e-doctor")


@pytest.fixture
def fresh() -> Iterator[ServiceProcess]:
    with ServiceProcess() as running:
        yield running


def doctor(service: ServiceProcess) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "advanced_rag", "doctor"],
        cwd=service.folder,
        env={**os.environ, **service.environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.req("R6.4")
def test_the_doctor_finds_a_running_service_well_and_gives_a_lost_index_back(fresh: ServiceProcess) -> None:
    documents = handbook()
    httpx.post(f"{fresh.url}/v1/ingest", json={"documents": documents}, timeout=300).raise_for_status()
    deleted = httpx.delete(f"{fresh.url}/v1/documents/{documents[0]['id']}", timeout=30)
    assert deleted.status_code == httpx.codes.OK
    beside = doctor(fresh)
    assert beside.returncode == 0, beside.stdout + beside.stderr
    assert "every index agrees" in beside.stdout
    query = {"query": documents[1]["text"][:200], "top_k": 3}
    before = httpx.post(f"{fresh.url}/v1/retrieve", json=query, timeout=30).json()["results"]
    assert before

    fresh.end()
    shutil.rmtree(fresh.folder / "data" / "milvus")
    mending = doctor(fresh)
    assert mending.returncode == 1, mending.stdout + mending.stderr
    assert "mended" in mending.stdout
    assert doctor(fresh).returncode == 0
    fresh.start()
    after = httpx.post(f"{fresh.url}/v1/retrieve", json=query, timeout=30).json()["results"]
    assert [result["chunk_id"] for result in after] == [result["chunk_id"] for result in before]
