"""Metrics and the one line of every request (M11, R8.19, R10.3)."""

from __future__ import annotations

import logging
import random
import string
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Scope, Send

from advanced_rag.api.endpoints import NO_ENDPOINT, EndpointKind, EndpointTable
from advanced_rag.api.middleware.observation import REQUEST_LOGGER, ObservationMiddleware
from advanced_rag.telemetry.context import RequestContext, current_request, enter_request, leave_request
from advanced_rag.telemetry.log_lines import FIELDS_ATTRIBUTE
from advanced_rag.telemetry.metrics import Metrics
from tests.unit.api.asgi import Client, scope
from tests.unit.api.fake_services import Api


def _value(api: Api, name: str, **labels: str) -> float | None:
    return api.metrics.registry.get_sample_value(name, labels)


def _series(api: Api) -> int:
    return sum(len(metric.samples) for metric in api.metrics.registry.collect())


@pytest.mark.req("R8.19")
async def test_ten_thousand_random_paths_make_no_new_series(api: Api) -> None:
    await api.client.get("/nowhere")
    await api.client.get("/v1/documents/absent")
    await api.client.request("BREW", "/v1/retrieve")
    before = _series(api)
    rng, table = random.Random(7), _table(api)
    for number in range(10_000):
        noise = "".join(rng.choices(string.ascii_letters + "/%.", k=12))
        prefix = ("/", "/v1/", "/problems/", "/docs/assets/", "/v1/documents/")[number % 5]
        api.metrics.requests.labels(table.endpoint(prefix + noise).template, "GET", "404").inc()
    for number in range(100):  # the same through the whole stack, with made-up methods
        await api.client.request(f"M{number}", f"/x{number}")
        await api.client.get(f"/v1/documents/d{number}")
    assert _series(api) - before <= 4  # `other` on the unmatched, and 404 on the three templates above


def _table(api: Api) -> EndpointTable:
    return EndpointTable.of(api.app.routes)


@pytest.mark.req("R8.19")
async def test_an_endpoint_is_its_whole_template(api: Api) -> None:
    table = _table(api)
    assert table.endpoint("/v1/documents/a/b").template == "/v1/documents/{id}"
    assert table.endpoint("/v1/retrieve").template == "/v1/retrieve"
    assert table.endpoint("/retrieve").template == "/retrieve"
    assert table.endpoint("/v1/retrieve/") is NO_ENDPOINT
    assert table.endpoint("/docs/assets/x.js").template == "/docs/assets/{name}"
    assert table.endpoint("/v1/ingest").kind is EndpointKind.INGEST
    assert table.endpoint("/metrics").kind is EndpointKind.OPERATIONS


def test_prefixes_of_nested_routers_are_part_of_the_template() -> None:
    inner = APIRouter(prefix="/b")
    inner.add_api_route("/{id}", lambda: None)
    inner.add_api_route("/{id}", lambda: None, methods=["DELETE"])
    outer = APIRouter(prefix="/a")
    outer.include_router(inner)
    app = FastAPI()
    app.include_router(outer, prefix="/v9")
    endpoint = EndpointTable.of(app.routes).endpoint("/v9/a/b/77")
    assert (endpoint.template, endpoint.methods) == ("/v9/a/b/{id}", frozenset({"GET", "DELETE"}))


async def test_requests_are_counted_timed_and_no_longer_active(api: Api) -> None:
    await api.client.post("/v1/retrieve", json={"query": "x"})
    await api.client.post("/v1/retrieve", json={"query": ""})
    labels = {"endpoint": "/v1/retrieve", "method": "POST"}
    assert _value(api, "rag_requests_total", **labels, status="200") == 1
    assert _value(api, "rag_requests_total", **labels, status="422") == 1
    assert _value(api, "rag_errors_total", endpoint="/v1/retrieve", error_type="validation") == 1
    assert _value(api, "rag_request_duration_seconds_count", endpoint="/v1/retrieve") == 2
    assert _value(api, "rag_active_requests", endpoint="/v1/retrieve") == 0


async def test_an_active_request_is_seen_while_it_runs(api: Api) -> None:
    response = await api.client.get("/metrics")
    assert 'rag_active_requests{endpoint="/metrics"} 1.0' in response.text


async def test_what_was_degraded_is_counted_once_a_component(api: Api) -> None:
    api.services.degraded = ("semantic:timeout", "embedding:slow", "semantic:open")
    answer = await api.client.post("/v1/retrieve", json={"query": "x"})
    assert answer.json()["degraded"] == list(api.services.degraded)
    assert _value(api, "rag_retrieval_degraded_total", lane="semantic") == 1
    assert _value(api, "rag_retrieval_degraded_total", lane="embedding") == 1
    assert _value(api, "rag_retrieval_degraded_total", lane="sparse") == 0


async def test_every_route_is_there_at_zero_from_the_start(api: Api) -> None:
    for endpoint in _table(api).endpoints:
        for method in endpoint.methods:
            assert _value(api, "rag_requests_total", endpoint=endpoint.template, method=method, status="200") == 0
        assert _value(api, "rag_active_requests", endpoint=endpoint.template) == 0
    assert _value(api, "rag_errors_total", endpoint="/v1/retrieve", error_type="index-unavailable") == 0
    assert _value(api, "rag_errors_total", endpoint="/retrieve", error_type="deadline-exceeded") == 0


@pytest.mark.req("R10.3")
async def test_a_request_writes_one_line_with_what_is_known_of_it(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, REQUEST_LOGGER)
    api.services.degraded = ("sparse:open",)
    await api.client.post("/v1/retrieve", json={"query": "a secret question"})
    (record,) = [record for record in caplog.records if record.name == REQUEST_LOGGER]
    assert record.getMessage() == "POST /v1/retrieve 200"
    fields = getattr(record, FIELDS_ATTRIBUTE)
    assert fields["status"] == 200
    assert fields["duration_ms"] >= 0
    assert fields["degraded"] == ("sparse:open",)
    assert "secret" not in str(record.__dict__)


@pytest.mark.req("R10.3")
async def test_a_line_says_what_the_request_waited_for_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        context = current_request()
        assert context is not None
        context.retries, context.queue_ms = 2, 12.345
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    caplog.set_level(logging.INFO, REQUEST_LOGGER)
    token = enter_request(RequestContext("r1", route="/x"))
    await Client().ask(ObservationMiddleware(app, Metrics(version="1")), scope())
    leave_request(token)
    fields = getattr(caplog.records[0], FIELDS_ATTRIBUTE)
    assert (fields["retries"], fields["queue_ms"]) == (2, 12.35)


@pytest.mark.req("R10.3")
async def test_health_and_metrics_write_no_line_by_default(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, REQUEST_LOGGER)
    for path in ("/healthz", "/healthz/live", "/healthz/ready", "/readiness", "/metrics"):
        await api.client.get(path)
    assert [record for record in caplog.records if record.name == REQUEST_LOGGER] == []


async def test_the_documented_metric_names_are_all_there(api: Api) -> None:
    text = (await api.client.get("/metrics")).text
    names = (Path(__file__).parent / "metric_names.txt").read_text(encoding="utf-8").split()
    assert [name for name in names if f"# TYPE {name} " not in text] == []
