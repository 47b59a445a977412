"""Routes whose bodies go through our own JSON parser (`json_gate`) before FastAPI sees them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from advanced_rag.api.endpoints import BODY_METHODS
from advanced_rag.api.json_gate import parse_json
from advanced_rag.api.state import state_of

# Parsing takes about 2 ms a megabyte of text, but 50 ms of small objects: beyond this it would be felt by others.
INLINE_BODY_BYTES: Final = 64 * 1024


class ParsedRequest(Request):
    """A request whose body has been parsed."""

    def __init__(self, request: Request, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body = b"{}"  # FastAPI asks whether there are bytes; what they say it takes from `json`
        self._value = value

    async def json(self) -> Any:
        """What the gate let through."""
        return self._value


class NativeRoute(APIRoute):
    """A route of the native API. Raises what `parse_json` raises, before any of FastAPI's own body handling."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind the gate."""
        handle = super().get_route_handler()

        async def gated(request: Request) -> Response:
            if request.method not in BODY_METHODS:
                return await handle(request)
            body = await request.body()
            if len(body) <= INLINE_BODY_BYTES:
                value = parse_json(body)
            else:
                value = await state_of(request).executor.run(partial(parse_json, body))
            return await handle(ParsedRequest(request, value))

        return gated
