"""The running service over HTTP, once on SQLite and once on Postgres; the same tests on both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.service import ServiceProcess

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
DATABASES: Final = ("sqlite", "postgres")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of one database in one worker: the service, with its model, is started once for each."""
    for item in items:
        if "tests/e2e" not in item.nodeid:
            continue
        database = getattr(getattr(item, "callspec", None), "params", {}).get("service", "own")
        item.add_marker(pytest.mark.xdist_group(f"e2e-{database}"))


@pytest.fixture(scope="session", params=DATABASES)
def service(request: pytest.FixtureRequest) -> Iterator[ServiceProcess]:
    """A running service with the handbook in it."""
    if request.param == "sqlite":
        with ServiceProcess() as running:
            _fill(running)
            yield running
        return
    with PostgresServer() as postgres:
        settings = {"RAG__DATABASE__URL": postgres.create_database("e2e")}
        with ServiceProcess(settings) as running:
            _fill(running)
            yield running


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[httpx.Client]:
    """An HTTP client of the running service."""
    with httpx.Client(base_url=service.url, timeout=60.0) as client:
        yield client


def handbook() -> list[dict[str, Any]]:
    """The sample collection as `/v1/ingest` takes it."""
    return [json.loads(line) for line in (EXAMPLES / "handbook.jsonl").read_text().splitlines()]


def questions() -> list[dict[str, Any]]:
    """Its judged questions."""
    return [json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text().splitlines()]


def _fill(service: ServiceProcess) -> None:
    answer = httpx.post(f"{service.url}/v1/ingest", json={"documents": handbook()}, timeout=300.0)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert {outcome["status"] for outcome in answer.json()["documents"]} == {"indexed"}
