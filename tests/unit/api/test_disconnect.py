"""A client that leaves takes its work with it (R3.10)."""

from __future__ import annotations

import asyncio
import time

import pytest
from starlette.types import Receive, Scope, Send

from advanced_rag.api.endpoints import EndpointKind
from advanced_rag.api.middleware.disconnect import DisconnectMiddleware
from tests.unit.api.asgi import Client, scope, until
from tests.unit.api.fake_services import Api

WATCHED = frozenset({EndpointKind.CHAT})


@pytest.mark.req("R3.10")
@pytest.mark.parametrize(("path", "body"), [("/v1/retrieve", b'{"query": "x"}'), ("/chat", b'{"message": "x"}')])
async def test_leaving_cancels_a_question_within_200_ms(api: Api, path: str, body: bytes) -> None:
    api.services.hangs = True
    client = Client([body])
    asking = asyncio.create_task(client.ask(api.app, scope(path=path)))
    await api.services.entered.wait()
    left_at = time.monotonic()
    client.leave()
    await asyncio.wait_for(asking, 5)
    assert time.monotonic() - left_at < 0.2
    assert api.services.cancelled
    assert client.sent == []
    counted = api.metrics.registry.get_sample_value(
        "rag_requests_total", {"endpoint": path, "method": "POST", "status": "499"}
    )
    assert counted == 1


@pytest.mark.req("R3.10")
async def test_leaving_does_not_stop_an_ingest(api: Api) -> None:
    api.services.hangs = True
    client = Client([b'{"documents": [{"text": "x"}]}'])
    asking = asyncio.create_task(client.ask(api.app, scope(path="/v1/ingest")))
    await api.services.entered.wait()
    client.leave()
    await asyncio.sleep(0)
    api.services.released.set()
    await asyncio.wait_for(asking, 5)
    assert not api.services.cancelled
    assert client.status == 200


async def test_nothing_is_left_of_the_watch_after_an_answer(api: Api) -> None:
    before = asyncio.all_tasks()
    for _ in range(20):
        client = Client([b'{"query": "x"}'])
        await client.ask(api.app, scope())
        assert client.status == 200
    await until(lambda: asyncio.all_tasks() == before)


async def test_work_that_swallows_its_cancellation_does_not_leave_the_task_cancelled() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    client = Client()
    asking = asyncio.create_task(client.ask(DisconnectMiddleware(app, WATCHED), scope(kind=EndpointKind.CHAT)))
    await asyncio.sleep(0.01)
    client.leave()
    await asking
    assert asking.cancelling() == 0


async def test_a_cancellation_from_outside_goes_through() -> None:
    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        await asyncio.Event().wait()

    asking = asyncio.create_task(Client().ask(DisconnectMiddleware(app, WATCHED), scope(kind=EndpointKind.CHAT)))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_endpoint_that_listens_for_the_client_itself_hears_it_leave() -> None:
    heard: list[str] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        heard.append((await receive())["type"])

    client = Client()
    await asyncio.wait_for(client.ask(DisconnectMiddleware(app, WATCHED), scope(kind=EndpointKind.CHAT)), 5)
    assert heard == ["http.disconnect"]
