"""ASGI by hand, where an HTTP client hides what is to be tested: slow bodies, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advanced_rag.api.endpoints import Endpoint, EndpointKind, attach_endpoint

Header = tuple[bytes, bytes]
JSON_TYPE: Header = (b"content-type", b"application/json")


def scope(
    method: str = "POST",
    path: str = "/v1/retrieve",
    *,
    headers: Iterable[Header] = (JSON_TYPE,),
    kind: EndpointKind | None = None,
) -> dict[str, Any]:
    """An HTTP scope; with `kind` its endpoint is known already, as the outermost middleware would have made it."""
    made: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    if kind is not None:
        attach_endpoint(made, Endpoint(path, kind, frozenset({"GET", "POST"})))
    return made


class Client:
    """Sends `chunks`, each after `wait` (seconds of the loop), then waits; `leave` is the client going away."""

    def __init__(self, chunks: Sequence[bytes] = (b"{}",), *, wait: float = 0.0, ends: bool = True) -> None:
        self._chunks = list(chunks)
        self._wait = wait
        self._ends = ends
        self._gone = asyncio.Event()
        self.sent: list[Message] = []
        self.answered = asyncio.Event()

    def leave(self) -> None:
        self._gone.set()

    async def receive(self) -> Message:
        if self._chunks:
            await asyncio.sleep(self._wait)
            body = self._chunks.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self._chunks) or not self._ends}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.answered.set()
            self._gone.set()  # as uvicorn does: receive then reports a disconnect

    @property
    def status(self) -> int | None:
        return next((m["status"] for m in self.sent if m["type"] == "http.response.start"), None)

    @property
    def headers(self) -> dict[str, str]:
        start = next(m for m in self.sent if m["type"] == "http.response.start")
        return {name.decode().lower(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent if m["type"] == "http.response.body")

    async def ask(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        await app(scope, self.receive, self.send)


async def until(condition: Callable[[], bool], at_most_s: float = 5.0) -> None:
    """Poll, with a deadline."""
    async with asyncio.timeout(at_most_s):
        while not condition():
            await asyncio.sleep(0.001)


def reading_app(seen: list[bytes]) -> ASGIApp:
    """An endpoint that reads its whole body and answers 204."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            seen.append(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app
