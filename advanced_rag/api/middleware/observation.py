"""Counts and times every request and writes its one line."""

from __future__ import annotations

import logging
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advanced_rag.api.endpoints import EndpointKind, endpoint_of
from advanced_rag.constants import MILLISECONDS_PER_SECOND
from advanced_rag.telemetry.context import RequestContext, current_request
from advanced_rag.telemetry.log_lines import FIELDS_ATTRIBUTE
from advanced_rag.telemetry.metrics import OTHER_METHOD, Metrics

CLIENT_GONE: Final = 499  # what is counted where nobody was left to answer; never sent
# A method is the caller's text: only these become a label.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

REQUEST_LOGGER: Final = "advanced_rag.request"

logger: Final = logging.getLogger(REQUEST_LOGGER)


class ObservationMiddleware:
    """Outside of everything that may answer, so that nothing is answered unseen."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass other scopes, observe HTTP."""
        context = current_request()
        if scope["type"] != "http" or context is None:
            await self.app(scope, receive, send)
            return
        watched = _StatusSend(send)
        active = self.metrics.active_requests.labels(context.route)
        active.inc()
        try:
            await self.app(scope, receive, watched)
        finally:
            active.dec()
            self._record(scope, context, watched.status)

    def _record(self, scope: Scope, context: RequestContext, status: int) -> None:
        method = scope["method"] if scope["method"] in _METHODS else OTHER_METHOD
        elapsed_ms = context.elapsed_ms
        self.metrics.requests.labels(context.route, method, str(status)).inc()
        self.metrics.request_duration.labels(context.route).observe(elapsed_ms / MILLISECONDS_PER_SECOND)
        if context.problem:
            self.metrics.errors.labels(context.route, context.problem).inc()
        for component in {entry.partition(":")[0] for entry in context.degraded}:
            self.metrics.retrieval_degraded.labels(component).inc()
        level = logging.DEBUG if endpoint_of(scope).kind is EndpointKind.OPERATIONS else logging.INFO
        if not logger.isEnabledFor(level):
            return
        fields: dict[str, object] = {"status": status, "duration_ms": round(elapsed_ms, 2)}
        if context.problem:
            fields["problem"] = context.problem
        if context.degraded:
            fields["degraded"] = context.degraded
        if context.retries:
            fields["retries"] = context.retries
        if context.queue_ms is not None:
            fields["queue_ms"] = round(context.queue_ms, 2)
        logger.log(level, "%s %s %d", method, context.route, status, extra={FIELDS_ATTRIBUTE: fields})


class _StatusSend:
    """Remembers the status that was sent."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.status = CLIENT_GONE

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self.send(message)
