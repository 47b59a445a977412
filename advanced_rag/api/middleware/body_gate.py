"""Lets a body in only if its type is read here, it is short enough and it arrives (reliability R8.7, R8.8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advanced_rag.api.endpoints import BODY_METHODS, Endpoint, endpoint_of
from advanced_rag.api.refusals import PayloadTooLarge, RequestTooSlow, UnsupportedMediaType

_JSON: Final = "application/json"
_MULTIPART: Final = "multipart/form-data"
_UTF8: Final = frozenset({"utf-8", "utf8"})
_EXPECT_CONTINUE: Final = "100-continue"


@dataclass(frozen=True, slots=True)
class ArrivalLimits:
    """How fast a body must arrive: all of it in `whole_s`; at `min_bytes_per_s` on average once `grace_s` are over.

    Of a body that is too long up to `drain_bytes`, or twice what the route takes if that is more, are read for
    `drain_s` and thrown away: a client that is answered while it still sends sees a broken connection, no answer.
    """

    whole_s: float = 30.0
    grace_s: float = 5.0
    min_bytes_per_s: float = 1_024.0
    drain_bytes: int = 64_000_000
    drain_s: float = 5.0


class BodyGateMiddleware:
    """Raises UnsupportedMediaType, PayloadTooLarge and RequestTooSlow; the latter two also out of `receive`."""

    def __init__(self, app: ASGIApp, limits: ArrivalLimits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass what brings no body to an endpoint that reads one."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        endpoint = endpoint_of(scope)
        if scope["method"] not in BODY_METHODS or scope["method"] not in endpoint.methods:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        _check_type(headers, multipart=endpoint.is_multipart)
        body = _CountedBody(receive, endpoint, self.limits)
        await body.check_declared(headers)
        await self.app(scope, body.receive, send)


def _check_type(headers: Headers, *, multipart: bool) -> None:
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Bodies are read as they are: send no Content-Encoding.")
    media_type, _, parameters = headers.get("Content-Type", "").lower().partition(";")
    media_type = media_type.strip()
    if multipart:
        if media_type != _MULTIPART:
            raise UnsupportedMediaType(f"Send {_MULTIPART}.")
        return
    if media_type != _JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise UnsupportedMediaType(f"Send {_JSON}.")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in _UTF8:
            raise UnsupportedMediaType("JSON is UTF-8.")


class _CountedBody:
    """One body on its way in, counted as it comes: the declared length is only believed when it is too long."""

    def __init__(self, receive: Receive, endpoint: Endpoint, limits: ArrivalLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._limit_bytes = endpoint.max_body_bytes
        self._drain_bytes = max(limits.drain_bytes, 2 * endpoint.max_body_bytes)
        self._received_bytes = 0
        self._started_s = asyncio.get_running_loop().time()
        self._complete = False

    async def check_declared(self, headers: Headers) -> None:
        """Refuse at once what says that it is too long."""
        declared = headers.get("Content-Length", "")
        if not (declared.isascii() and declared.isdigit()) or int(declared) <= self._limit_bytes:
            return
        waiting = headers.get("Expect", "").lower() == _EXPECT_CONTINUE  # it has sent nothing yet
        drained = not waiting and int(declared) <= self._drain_bytes and await self._drained()
        raise PayloadTooLarge(self._limit_bytes, drained=drained)

    async def receive(self) -> Message:
        """The next message, in time."""
        if self._complete:
            return await self._receive()
        limits = self._limits
        silent_until_s = max(limits.grace_s, self._received_bytes / limits.min_bytes_per_s)
        until_s = self._started_s + min(limits.whole_s, silent_until_s)
        timer = asyncio.timeout_at(until_s)
        try:
            async with timer:
                message = await self._receive()
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise RequestTooSlow("The body did not arrive in time.") from error
        self._count(message)
        if self._received_bytes > self._limit_bytes:
            raise PayloadTooLarge(self._limit_bytes, drained=await self._drained())
        return message

    def _count(self, message: Message) -> None:
        self._received_bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)

    async def _drained(self) -> bool:
        """Read on and forget; whether the end was reached."""
        timer = asyncio.timeout(self._limits.drain_s)
        try:
            async with timer:
                while not self._complete and self._received_bytes <= self._drain_bytes:
                    self._count(await self._receive())
        except TimeoutError:
            if not timer.expired():
                raise
        return self._complete
