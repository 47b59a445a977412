"""Our own table of routes by their full paths.

FastAPI nests included routers, so neither `app.routes` nor `scope["route"].path` knows the whole template (reliability
M11): labels of metrics, deadlines, body limits and later rate limits all come from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, compile_path
from starlette.types import Scope

from advanced_rag.constants import MAX_INGEST_BODY_BYTES, MAX_JSON_BODY_BYTES, MAX_UPLOAD_BODY_BYTES
from advanced_rag.telemetry.metrics import UNMATCHED

VERSION_PREFIX: Final = "/v1"
BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
_SCOPE_KEY: Final = "advanced_rag.endpoint"


class EndpointKind(StrEnum):
    """What a route costs: decides its deadline, its share of the process and whether a leaving client ends its work."""

    RETRIEVE = "retrieve"
    CHAT = "chat"
    INGEST = "ingest"
    WATCH = "watch"  # may be a stream, which ends itself before its deadline
    OTHER = "other"
    OPERATIONS = "operations"  # health and metrics: no deadline, no limit, no line at INFO


_KINDS: Final = {
    "/retrieve": EndpointKind.RETRIEVE,
    "/chat": EndpointKind.CHAT,
    "/ingest": EndpointKind.INGEST,
    "/jobs/{id}": EndpointKind.WATCH,
    "/ingest/files": EndpointKind.INGEST,
    "/healthz": EndpointKind.OPERATIONS,
    "/healthz/live": EndpointKind.OPERATIONS,
    "/healthz/ready": EndpointKind.OPERATIONS,
    "/readiness": EndpointKind.OPERATIONS,
    "/metrics": EndpointKind.OPERATIONS,
}
_ALIASES: Final = frozenset({"/retrieve", "/chat", "/ingest"})
_MULTIPART: Final = frozenset({"/ingest/files"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the service. `template` is the whole one, `successor` the versioned path of an alias.

    `is_multipart`: its bodies are forms with files, not JSON.
    """

    template: str
    kind: EndpointKind
    methods: frozenset[str]
    successor: str | None = None
    documented_statuses: frozenset[int] = frozenset()
    is_multipart: bool = False

    @property
    def max_body_bytes(self) -> int:
        """How long a body may be."""
        if self.is_multipart:
            return MAX_UPLOAD_BODY_BYTES
        return MAX_INGEST_BODY_BYTES if self.kind is EndpointKind.INGEST else MAX_JSON_BODY_BYTES


NO_ENDPOINT: Final = Endpoint(UNMATCHED, EndpointKind.OTHER, frozenset())


@dataclass(frozen=True, slots=True)
class EndpointTable:
    """Every path that the application answers; one without a parameter is found in one look."""

    fixed: Mapping[str, Endpoint]
    parametrized: tuple[tuple[re.Pattern[str], Endpoint], ...]

    @classmethod
    def of(cls, routes: Iterable[BaseRoute]) -> EndpointTable:
        """The table of an application's routes, included routers and their prefixes resolved."""
        by_path: dict[str, list[RouteContext]] = {}
        for route in iter_route_contexts(list(routes)):
            if route.path is not None:
                by_path.setdefault(route.path, []).append(route)
        endpoints = {path: _endpoint(path, members) for path, members in by_path.items()}
        return cls(
            fixed={path: endpoint for path, endpoint in endpoints.items() if "{" not in path},
            parametrized=tuple(
                (compile_path(path)[0], endpoint) for path, endpoint in endpoints.items() if "{" in path
            ),
        )

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them."""
        return (*self.fixed.values(), *(endpoint for _, endpoint in self.parametrized))

    def endpoint(self, path: str) -> Endpoint:
        """The endpoint that a request's path belongs to, or `NO_ENDPOINT`."""
        if (found := self.fixed.get(path)) is not None:
            return found
        return next((endpoint for pattern, endpoint in self.parametrized if pattern.match(path)), NO_ENDPOINT)


def _endpoint(path: str, routes: Iterable[RouteContext]) -> Endpoint:
    template = path
    methods: set[str] = set()
    statuses: set[int] = set()
    for route in routes:
        template = route.path_format or path
        methods |= route.methods or set()
        statuses.update(int(status) for status in getattr(route.original_route, "responses", {}))
    return Endpoint(
        template=template,
        kind=_KINDS.get(template.removeprefix(VERSION_PREFIX), EndpointKind.OTHER),
        methods=frozenset(methods),
        successor=f"{VERSION_PREFIX}{template}" if template in _ALIASES else None,
        documented_statuses=frozenset(statuses),
        is_multipart=template.removeprefix(VERSION_PREFIX) in _MULTIPART,
    )


def attach_endpoint(scope: Scope, endpoint: Endpoint) -> None:
    """Remember in a request's scope where it goes; the outermost middleware does it once."""
    scope[_SCOPE_KEY] = endpoint


def endpoint_of(scope: Scope) -> Endpoint:
    """Where a request goes."""
    endpoint = scope.get(_SCOPE_KEY, NO_ENDPOINT)
    return endpoint if isinstance(endpoint, Endpoint) else NO_ENDPOINT
