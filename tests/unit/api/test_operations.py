"""Health, readiness and metrics."""

from __future__ import annotations

import pytest

from advanced_rag.api.app import ApiOptions
from advanced_rag.services.health import Readiness
from tests.unit.api.fake_services import Api, running_api


@pytest.mark.req("R5.6")
@pytest.mark.parametrize("path", ["/healthz/ready", "/readiness"])
@pytest.mark.parametrize("status", ["ready", "degraded"])
async def test_a_process_that_can_serve_is_ready(api: Api, path: str, status: str) -> None:
    api.services.readiness_answer = Readiness(ready=True, status=status)
    response = await api.client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": status})


@pytest.mark.req("R5.6")
@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("starting", "starting"),
        ("draining", "shutting-down"),
        ("schema-mismatch", "schema-mismatch"),
        ("unavailable", "index-unavailable"),
    ],
)
async def test_a_process_that_cannot_serve_says_why(api: Api, status: str, problem: str) -> None:
    api.services.readiness_answer = Readiness(ready=False, status=status, reason="because")
    response = await api.client.get("/healthz/ready")
    assert response.status_code == 503
    assert response.json()["type"] == f"/problems/{problem}"
    assert response.json()["detail"] == "because"
    assert int(response.headers["Retry-After"]) >= 1
    assert (await api.client.get("/healthz")).status_code == 503


@pytest.mark.req("R5.7")
async def test_liveness_looks_at_nothing_but_the_loop(api: Api) -> None:
    api.services.readiness_answer = Readiness(ready=False, status="unavailable")
    api.services.error = RuntimeError("everything is broken")
    assert (await api.client.get("/healthz/live")).json() == {"status": "live"}
    api.services.ticking = False
    assert (await api.client.get("/healthz/live")).status_code == 503


@pytest.mark.req("R5.7")
async def test_health_shows_each_component_as_last_seen(api: Api) -> None:
    document = (await api.client.get("/healthz")).json()
    (component,) = document["components"]
    assert component["name"] == "database"
    assert component["state"] == "ok"
    assert component["age_s"] == 0.5
    assert document["features"] == {"enable_cache": True}
    assert document["serving"] is True


@pytest.mark.req("R8.19")
@pytest.mark.parametrize(("address", "status"), [("10.1.2.3", 200), ("::1", 200), ("8.8.8.8", 403), ("odd", 403)])
async def test_without_a_token_metrics_are_for_private_addresses(address: str, status: int) -> None:
    async with running_api(client=(address, 1)) as api:
        response = await api.client.get("/metrics")
        assert response.status_code == status
        assert (await api.client.get("/healthz")).status_code == 200


@pytest.mark.req("R8.19")
async def test_with_a_token_metrics_are_for_who_holds_it() -> None:
    async with running_api(ApiOptions(metrics_token="t0ken"), client=("8.8.8.8", 1)) as api:
        refused = await api.client.get("/metrics", headers={"Authorization": "Bearer t0kem"})
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (await api.client.get("/metrics")).status_code == 401
        assert (await api.client.get("/metrics", headers={"Authorization": "Bearer t0ken"})).status_code == 200
    assert "t0ken" not in repr(ApiOptions(metrics_token="t0ken"))


async def test_metrics_are_in_prometheus_text_format(api: Api) -> None:
    response = await api.client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'rag_build_info{version="test"} 1.0' in response.text
