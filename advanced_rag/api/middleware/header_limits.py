"""Refuses what no client needs in headers: uvicorn with httptools takes 2 MB in one of them (reliability M14, R8.9)."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from advanced_rag.api.refusals import HeadersTooLarge

MAX_HEADERS: Final = 100
MAX_HEADERS_BYTES: Final = 32 * 1024
MAX_HEADER_VALUE_BYTES: Final = 8 * 1024


class HeaderLimitsMiddleware:
    """Raises HeadersTooLarge before anything else looks at the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass other scopes, measure HTTP."""
        if scope["type"] == "http":
            headers: list[tuple[bytes, bytes]] = scope["headers"]
            if len(headers) > MAX_HEADERS:
                raise HeadersTooLarge(f"A request may have {MAX_HEADERS} headers.")
            if any(len(value) > MAX_HEADER_VALUE_BYTES for _, value in headers):
                raise HeadersTooLarge(f"A header may have {MAX_HEADER_VALUE_BYTES} bytes.")
            if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS_BYTES:
                raise HeadersTooLarge(f"All headers together may have {MAX_HEADERS_BYTES} bytes.")
        await self.app(scope, receive, send)
