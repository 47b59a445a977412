from __future__ import annotations

import json

import pytest
from starlette.types import Receive, Scope, Send

from advanced_rag.api.middleware.problem_boundary import ProblemBoundaryMiddleware
from advanced_rag.exceptions import NotFound
from tests.unit.api.asgi import Client, scope


async def test_what_the_middleware_inside_raises_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise NotFound("gone")

    client = Client()
    await client.ask(ProblemBoundaryMiddleware(app), scope())
    assert client.status == 404
    assert json.loads(client.body)["type"] == "/problems/not-found"
    assert caplog.records == []


async def test_an_answer_that_breaks_off_is_not_ended_as_if_it_were_whole(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("bug")

    client = Client()
    await client.ask(ProblemBoundaryMiddleware(app), scope())
    assert client.body == b"half"
    assert not client.answered.is_set()
    assert [record.getMessage() for record in caplog.records] == [
        "unexpected error",
        "the answer broke off: RuntimeError",
    ]


async def test_other_scopes_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    await Client().ask(ProblemBoundaryMiddleware(app), {"type": "lifespan"})
    assert seen == ["lifespan"]
