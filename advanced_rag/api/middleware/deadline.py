"""Makes the request's deadline, and ends the request when it is over (reliability R3.2, R3.4)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from advanced_rag.api.endpoints import EndpointKind, endpoint_of
from advanced_rag.api.preferences import Preferences
from advanced_rag.constants import MILLISECONDS_PER_SECOND
from advanced_rag.exceptions import DeadlineExceeded, ValidationError
from advanced_rag.resilience.deadline import deadline_scope
from advanced_rag.telemetry.context import current_request

TIMEOUT_HEADER: Final = "X-Request-Timeout-Ms"
MIN_TIMEOUT_MS: Final = 50

_MILLISECONDS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a request may take, in seconds, by kind of endpoint; `max_s` is the most that can be asked for."""

    retrieve_s: float = 6.0
    chat_s: float = 60.0
    ingest_s: float = 300.0
    other_s: float = 10.0
    max_s: float = 300.0

    def by_kind(self) -> Mapping[EndpointKind, float]:
        """The limit of each kind that has one."""
        return {
            EndpointKind.RETRIEVE: self.retrieve_s,
            EndpointKind.CHAT: self.chat_s,
            EndpointKind.INGEST: self.ingest_s,
            EndpointKind.WATCH: self.max_s,
            EndpointKind.OTHER: self.other_s,
        }


class DeadlineMiddleware:
    """The smallest of the endpoint's limit, `X-Request-Timeout-Ms` and `Prefer: wait`; health and metrics have none."""

    def __init__(self, app: ASGIApp, deadlines: Deadlines) -> None:
        self.app = app
        self.limits = deadlines.by_kind()
        self.max_ms = round(deadlines.max_s * MILLISECONDS_PER_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass other scopes, limit HTTP. Raises ValidationError for a bad header, DeadlineExceeded."""
        limit_s = self.limits.get(endpoint_of(scope).kind) if scope["type"] == "http" else None
        if limit_s is None:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit_s = min(limit_s, self._asked_s(headers), _preferred_s(headers))
        context = current_request()
        spent_s = 0.0
        if context is not None:  # the clock began at the first byte seen
            context.deadline_s = limit_s
            spent_s = context.elapsed_ms / MILLISECONDS_PER_SECOND
        with deadline_scope(limit_s - spent_s):
            timer = asyncio.timeout(limit_s - spent_s)
            try:
                async with timer:
                    await self.app(scope, receive, send)
            except TimeoutError as error:
                if not timer.expired():
                    raise
                raise DeadlineExceeded("the request", deadline_s=limit_s) from error

    def _asked_s(self, headers: Headers) -> float:
        given = headers.getlist(TIMEOUT_HEADER)
        if not given:
            return float("inf")
        if len(given) == 1 and _MILLISECONDS.fullmatch(given[0]) and MIN_TIMEOUT_MS <= int(given[0]) <= self.max_ms:
            return int(given[0]) / MILLISECONDS_PER_SECOND
        message = f"One whole number of milliseconds from {MIN_TIMEOUT_MS} to {self.max_ms}."
        raise ValidationError.of(f"/{TIMEOUT_HEADER}", "invalid-header", message)


def _preferred_s(headers: Headers) -> float:
    preferences = Preferences.of(headers)
    if preferences.wait_s is None or preferences.respond_async:
        return float("inf")
    return max(preferences.wait_s, MIN_TIMEOUT_MS / MILLISECONDS_PER_SECOND)
