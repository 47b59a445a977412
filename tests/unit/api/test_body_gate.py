"""Bodies: their type, their size, and whether they arrive (R8.7, R8.8). Time is virtual where seconds pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from advanced_rag.api.app import ApiOptions
from advanced_rag.api.endpoints import EndpointKind
from advanced_rag.api.middleware.body_gate import ArrivalLimits, BodyGateMiddleware
from advanced_rag.api.refusals import PayloadTooLarge, RequestTooSlow
from advanced_rag.constants import MAX_INGEST_BODY_BYTES, MAX_JSON_BODY_BYTES
from tests.fakes.virtual_time import run_virtually
from tests.unit.api.asgi import JSON_TYPE, Client, Header, reading_app, scope
from tests.unit.api.fake_services import Api, running_api

JSON = {"Content-Type": "application/json"}
LIMITS = ArrivalLimits()


async def _through_gate(
    client: Client, limits: ArrivalLimits = LIMITS, headers: tuple[Header, ...] = (JSON_TYPE,)
) -> bytes:
    seen: list[bytes] = []
    gate = BodyGateMiddleware(reading_app(seen), limits)
    await client.ask(gate, scope(kind=EndpointKind.RETRIEVE, headers=headers))
    return b"".join(seen)


@pytest.mark.req("R8.7")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json+x"},
        {**JSON, "Content-Encoding": "gzip"},
        {**JSON, "Content-Encoding": "br, gzip"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/retrieve", "/v1/ingest", "/v1/chat", "/retrieve"])
async def test_a_body_of_another_type_or_encoding_is_415(api: Api, headers: dict[str, str], path: str) -> None:
    response = await api.client.post(path, content=b'{"query": "x"}', headers=headers)
    assert response.status_code == 415
    assert response.json()["type"] == "/problems/unsupported-media-type"


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"', "application/ld+json"],
)
async def test_the_usual_ways_to_say_json_are_read(api: Api, media_type: str) -> None:
    headers = {"Content-Type": media_type, "Content-Encoding": "identity"}
    response = await api.client.post("/v1/retrieve", content=b'\xef\xbb\xbf{"query": "x"}', headers=headers)
    assert response.status_code == 200


async def _chunks(size: int) -> AsyncIterator[bytes]:
    piece = b" " * 100_000
    for _ in range(size // len(piece)):
        yield piece
    yield b'{"query": "x"}'


@pytest.mark.req("R8.7")
@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v1/retrieve", MAX_JSON_BODY_BYTES), ("/v1/chat", MAX_JSON_BODY_BYTES), ("/v1/ingest", MAX_INGEST_BODY_BYTES)],
)
async def test_a_body_beyond_the_limit_is_413_with_and_without_a_declared_length(
    api: Api, path: str, limit: int
) -> None:
    declared = await api.client.post(path, content=b" " * (limit + 1), headers=JSON)
    chunked = await api.client.post(path, content=_chunks(limit), headers=JSON)
    assert "Content-Length" not in chunked.request.headers
    for response in (declared, chunked):
        assert response.status_code == 413
        assert response.json()["type"] == "/problems/payload-too-large"
        assert response.json()["limit_bytes"] == limit
        assert "Connection" not in response.headers  # all of it was read, so the connection can go on


@pytest.mark.req("R8.7")
@pytest.mark.parametrize("length", [b"2", b"-1", b"x", b"999999999999999999999"])
async def test_a_declared_length_that_lies_is_not_believed(length: bytes) -> None:
    client = Client([b"x" * 400_000] * 3)
    with pytest.raises(PayloadTooLarge):
        await _through_gate(client, headers=(JSON_TYPE, (b"content-length", length)))


@pytest.mark.req("R8.7")
async def test_what_waits_to_be_told_to_go_on_is_refused_unread() -> None:
    client = Client([b"x" * 2_000_000])
    headers = (JSON_TYPE, (b"content-length", b"2000000"), (b"expect", b"100-continue"))
    with pytest.raises(PayloadTooLarge) as caught:
        await _through_gate(client, headers=headers)
    assert caught.value.closes
    assert (await client.receive())["body"]  # still there: not a byte was asked for


@pytest.mark.req("R8.7")
def test_a_body_without_end_is_given_up_and_the_connection_closed() -> None:
    async def main(_clock: Callable[[], float]) -> None:
        limits = ArrivalLimits(drain_bytes=3_000_000, drain_s=5.0)
        endless = Client([b"x" * 500_000] * 100)
        with pytest.raises(PayloadTooLarge) as caught:
            await _through_gate(endless, limits)
        assert caught.value.closes
        stalled = Client([b"x" * 500_000] * 3, ends=False)
        with pytest.raises(PayloadTooLarge) as caught:
            await _through_gate(stalled, limits)
        assert caught.value.closes

    run_virtually(main)


@pytest.mark.req("R8.8")
@pytest.mark.parametrize(
    ("chunk", "wait_s", "gives_up_at_s"),
    [
        (b"", 100.0, 5.0),  # nothing comes
        (b"x" * 500, 1.0, 5.0),  # 500 bytes a second: too slow as soon as it is asked
        (b"x" * 2_000, 1.0, 30.0),  # fast enough, and never done
    ],
    ids=["silent", "slow", "endless"],
)
def test_a_body_that_does_not_arrive_is_given_up(chunk: bytes, wait_s: float, gives_up_at_s: float) -> None:
    async def main(clock: Callable[[], float]) -> None:
        started = clock()
        with pytest.raises(RequestTooSlow):
            await _through_gate(Client([chunk] * 1_000, wait=wait_s))
        assert clock() - started == pytest.approx(gives_up_at_s, abs=1.1)

    run_virtually(main)


@pytest.mark.req("R8.8")
def test_a_body_that_pauses_and_comes_is_read() -> None:
    async def main(_clock: Callable[[], float]) -> None:
        assert await _through_gate(Client([b"x" * 10_000] * 4, wait=4.0)) == b"x" * 40_000

    run_virtually(main)


@pytest.mark.req("R8.8")
async def test_a_slow_body_is_408_and_the_connection_is_closed() -> None:
    options = ApiOptions(arrival=ArrivalLimits(grace_s=0.05))
    async with running_api(options) as api:

        async def stalling() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(60)

        response = await api.client.post("/v1/retrieve", content=stalling(), headers=JSON)
    assert response.status_code == 408
    assert response.json()["type"] == "/problems/request-timeout"
    assert response.headers["Connection"] == "close"


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client([b'{"que'], ends=False)
    client.leave()
    await client.ask(api.app, scope())
    assert client.sent == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert api.services.queries == []
