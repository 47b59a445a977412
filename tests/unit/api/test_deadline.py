"""The request's deadline (R3.2, R3.4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from starlette.types import Receive, Scope, Send

from advanced_rag.api.app import ApiOptions
from advanced_rag.api.endpoints import EndpointKind
from advanced_rag.api.middleware.deadline import DeadlineMiddleware, Deadlines
from advanced_rag.exceptions import DeadlineExceeded, ValidationError
from advanced_rag.resilience.deadline import remaining_s
from tests.fakes.virtual_time import run_virtually
from tests.unit.api.asgi import Client, Header, scope
from tests.unit.api.fake_services import Api, running_api

UNLIMITED = float("inf")


async def _allowed_s(kind: EndpointKind, *headers: Header) -> float:
    seen: list[float] = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(remaining_s())

    await Client().ask(DeadlineMiddleware(app, Deadlines()), scope(kind=kind, headers=headers))
    return seen[0]


@pytest.mark.req("R3.2")
@pytest.mark.parametrize(
    ("kind", "limit_s"),
    [
        (EndpointKind.RETRIEVE, 6),
        (EndpointKind.CHAT, 60),
        (EndpointKind.INGEST, 300),
        (EndpointKind.OTHER, 10),
        (EndpointKind.OPERATIONS, UNLIMITED),
    ],
)
async def test_each_kind_of_endpoint_has_its_own_limit(kind: EndpointKind, limit_s: float) -> None:
    assert await _allowed_s(kind) == pytest.approx(limit_s, abs=0.5)


@pytest.mark.req("R3.2")
@pytest.mark.parametrize(
    ("headers", "limit_s"),
    [
        ([(b"x-request-timeout-ms", b"2000")], 2),
        ([(b"x-request-timeout-ms", b"50")], 0.05),
        ([(b"x-request-timeout-ms", b"300000")], 6),
        ([(b"prefer", b"wait=3")], 3),
        ([(b"prefer", b'return=minimal, Wait="3"; x')], 3),
        ([(b"prefer", b"handling=lenient"), (b"prefer", b"wait=3")], 3),
        ([(b"prefer", b"wait=3, respond-async")], 6),
        ([(b"prefer", b"respond-async; wait=1, wait=3")], 6),
        ([(b"prefer", b"await=3, wait=x")], 6),
        ([(b"prefer", b"wait=100")], 6),
        ([(b"prefer", b"wait=3"), (b"x-request-timeout-ms", b"1000")], 1),
    ],
)
async def test_a_caller_may_ask_for_less_never_for_more(headers: list[Header], limit_s: float) -> None:
    assert await _allowed_s(EndpointKind.RETRIEVE, *headers) == pytest.approx(limit_s, abs=0.04)


@pytest.mark.req("R3.2")
@pytest.mark.parametrize(
    "value", [b"", b"0", b"49", b"300001", b"-100", b"1e3", b"100 ", b"abc", b"99999999999", b"\xb2\xb2\xb2"]
)
async def test_an_invalid_header_is_refused_by_name(value: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        await _allowed_s(EndpointKind.RETRIEVE, (b"x-request-timeout-ms", value))
    assert caught.value.errors[0].loc == "/X-Request-Timeout-Ms"


@pytest.mark.req("R3.2")
async def test_two_such_headers_are_refused(api: Api) -> None:
    headers = [("X-Request-Timeout-Ms", "100"), ("X-Request-Timeout-Ms", "200")]
    response = await api.client.post("/v1/retrieve", json={"query": "x"}, headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "invalid-header"


@pytest.mark.req("R3.4")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/retrieve", {"query": "x"}),
        ("POST", "/v1/chat", {"message": "x"}),
        ("POST", "/v1/ingest", {"documents": [{"text": "x"}]}),
        ("GET", "/v1/documents", None),
        ("GET", "/v1/documents/keys", None),
        ("DELETE", "/v1/documents/keys", None),
    ],
)
async def test_a_hang_is_504_in_time_and_its_work_is_cancelled(
    api: Api, method: str, path: str, body: dict[str, object] | None
) -> None:
    api.services.hangs = True
    started = time.monotonic()
    response = await api.client.request(method, path, json=body, headers={"X-Request-Timeout-Ms": "200"})
    assert time.monotonic() - started < 0.2 + 0.1
    assert response.status_code == 504
    document = response.json()
    assert document["type"] == "/problems/deadline-exceeded"
    assert document["deadline_ms"] == 200
    assert document["spent_ms"] >= 190
    assert document["stage"]
    assert api.services.cancelled


@pytest.mark.req("R3.4")
async def test_health_has_no_deadline() -> None:
    async with running_api(ApiOptions(deadlines=Deadlines(other_s=0.001))) as api:
        api.services.hangs = True
        assert (await api.client.get("/v1/documents")).status_code == 504
        for path in ("/healthz/live", "/healthz/ready", "/healthz", "/metrics"):
            headers = {"X-Request-Timeout-Ms": "nonsense"}
            assert (await api.client.get(path, headers=headers)).status_code == 200


@pytest.mark.req("R3.4")
def test_a_timeout_that_is_not_the_requests_own_is_not_renamed() -> None:
    async def main(_clock: Callable[[], float]) -> None:
        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            raise TimeoutError("a driver's")

        with pytest.raises(TimeoutError, match="a driver's"):
            await Client().ask(DeadlineMiddleware(app, Deadlines()), scope(kind=EndpointKind.RETRIEVE))

    run_virtually(main)


@pytest.mark.req("R3.4")
def test_every_kind_ends_at_its_limit() -> None:
    async def main(clock: Callable[[], float]) -> None:
        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            await asyncio.Event().wait()

        for kind, limit_s in Deadlines().by_kind().items():
            started = clock()
            with pytest.raises(DeadlineExceeded):
                await Client().ask(DeadlineMiddleware(app, Deadlines()), scope(kind=kind))
            assert clock() - started == pytest.approx(limit_s)

    run_virtually(main)
