"""Gives every request its identity: id, trace, place in our table of endpoints."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advanced_rag.api.endpoints import Endpoint, EndpointTable, attach_endpoint
from advanced_rag.api.request_ids import REQUEST_ID_HEADER, request_id_of
from advanced_rag.telemetry.context import RequestContext, enter_request, leave_request, trace_of

_TRACEPARENT: Final = b"traceparent"


class RequestContextMiddleware:
    """Outermost: whatever is answered, logged or raised further in belongs to this request."""

    def __init__(self, app: ASGIApp, endpoints: EndpointTable) -> None:
        self.app = app
        self.endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass other scopes, wrap HTTP."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        endpoint = self.endpoints.endpoint(scope["path"])
        attach_endpoint(scope, endpoint)
        context = RequestContext(
            request_id_of([value for name, value in scope["headers"] if name == REQUEST_ID_HEADER]),
            trace_of(_only(scope, _TRACEPARENT)),
            route=endpoint.template,
        )
        token = enter_request(context)
        try:
            await self.app(scope, receive, _IdentifiedSend(send, context.request_id, endpoint))
        finally:
            leave_request(token)


class _IdentifiedSend:
    """Puts the request id, and for an alias the path to use instead, on the answer."""

    def __init__(self, send: Send, request_id: str, endpoint: Endpoint) -> None:
        self.send = send
        self.request_id = request_id
        self.successor = endpoint.successor

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["X-Request-ID"] = self.request_id
            if self.successor is not None:
                headers["Link"] = f'<{self.successor}>;rel="successor-version"'
        await self.send(message)


def _only(scope: Scope, name: bytes) -> str | None:
    values = Headers(scope=scope).getlist(name.decode())
    return values[0] if len(values) == 1 else None
