"""Ends the work for a client that has left: nobody will read the answer (reliability R3.10)."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advanced_rag.api.endpoints import EndpointKind, endpoint_of


class DisconnectMiddleware:
    """Cancels the endpoints of these kinds when `http.disconnect` arrives; writes go on, half a write helps nobody."""

    def __init__(self, app: ASGIApp, kinds: AbstractSet[EndpointKind]) -> None:
        self.app = app
        self.kinds = kinds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass what is not watched."""
        if scope["type"] == "http" and endpoint_of(scope).kind in self.kinds:
            await _WatchedRequest(self.app, receive, send)(scope)
        else:
            await self.app(scope, receive, send)


class _WatchedRequest:
    """One request. The server is listened to from the end of the body until the last byte of the answer is sent."""

    def __init__(self, app: ASGIApp, receive: Receive, send: Send) -> None:
        self.app = app
        self.receive = receive
        self.send = send
        self.gone = False
        self.watcher: asyncio.Task[None] | None = None
        self.task: asyncio.Task[object] | None = None

    async def __call__(self, scope: Scope) -> None:
        self.task = asyncio.current_task()
        cancelled_before = self.task.cancelling() if self.task else 0
        try:
            await self.app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            # As asyncio.timeout does: swallow only what this object has caused, and only if nobody else cancelled too.
            if not self.gone or self.task is None or self.task.uncancel() > cancelled_before:
                raise
        except BaseException:
            self._settle()
            raise
        else:
            self._settle()
        finally:
            self._stop_watching()

    def _settle(self) -> None:
        if self.gone and self.task is not None:
            self.task.uncancel()

    async def _receive(self) -> Message:
        if self.watcher is not None:  # whoever asks after the body waits for the same message
            await asyncio.wait({self.watcher})
            return {"type": "http.disconnect"}
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.watcher = asyncio.create_task(self._watch())
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._stop_watching()  # servers report a disconnect once the answer is complete
        await self.send(message)

    async def _watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self.task is not None:
            self.task.cancel()

    def _stop_watching(self) -> None:
        if self.watcher is not None:
            self.watcher.cancel()
