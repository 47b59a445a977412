"""Middleware, one pure ASGI class a file, and the one place that says in which order they stand."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware import Middleware

from advanced_rag.api.endpoints import EndpointKind, EndpointTable
from advanced_rag.api.middleware.body_gate import ArrivalLimits, BodyGateMiddleware
from advanced_rag.api.middleware.deadline import DeadlineMiddleware, Deadlines
from advanced_rag.api.middleware.disconnect import DisconnectMiddleware
from advanced_rag.api.middleware.header_limits import HeaderLimitsMiddleware
from advanced_rag.api.middleware.observation import ObservationMiddleware
from advanced_rag.api.middleware.problem_boundary import ProblemBoundaryMiddleware
from advanced_rag.api.middleware.request_context import RequestContextMiddleware
from advanced_rag.api.middleware.security_headers import SecurityHeadersMiddleware
from advanced_rag.telemetry.metrics import Metrics

_CANCELLED_ON_DISCONNECT = frozenset({EndpointKind.RETRIEVE, EndpointKind.CHAT})


def install_middleware(
    app: FastAPI, *, endpoints: EndpointTable, metrics: Metrics, deadlines: Deadlines, arrival: ArrivalLimits
) -> None:
    """Put the whole stack around an application whose routes are complete."""
    outside_first = [
        Middleware(RequestContextMiddleware, endpoints),  # first: everything below has the request's identity
        Middleware(SecurityHeadersMiddleware),  # on every answer, those of the middleware below included
        Middleware(ObservationMiddleware, metrics),  # sees the final status of everything below
        Middleware(ProblemBoundaryMiddleware),  # everything below may raise
        Middleware(HeaderLimitsMiddleware),  # before headers are read
        Middleware(DeadlineMiddleware, deadlines),  # before the body: waiting for it counts
        Middleware(DisconnectMiddleware, _CANCELLED_ON_DISCONNECT),  # inside the deadline: cancels inwards only
        Middleware(BodyGateMiddleware, arrival),  # innermost: what it raises out of `receive` goes through the endpoint
    ]
    for middleware in reversed(outside_first):
        app.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)
