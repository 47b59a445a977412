"""Headers that keep a browser from making more of an answer than it is (reliability R8.18)."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
}
_HSTS: Final = "max-age=31536000"


class SecurityHeadersMiddleware:
    """Adds them to every answer; one that an endpoint has set itself (a page's own policy) stays."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass other scopes, wrap HTTP."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, _ProtectedSend(send, over_tls=scope["scheme"] == "https"))


class _ProtectedSend:
    def __init__(self, send: Send, *, over_tls: bool) -> None:
        self.send = send
        self.over_tls = over_tls

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self.over_tls:
                headers.setdefault("Strict-Transport-Security", _HSTS)
        await self.send(message)
