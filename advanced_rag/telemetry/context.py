"""Who is being served right now: one mutable record a request, in a contextvar that threads and tasks inherit.

The record is mutable on purpose: what an inner task learns (a retry, a degraded lane) must reach the line that the
outermost middleware writes, and a contextvar set in a child task is not seen by its parent.
"""

from __future__ import annotations

import os
import re
import time
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Final

# W3C Trace Context, section 3.2.2: version, trace-id, parent-id, trace-flags; a later version may append fields.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FIRST_VERSION: Final = "00"
_INVALID_VERSION: Final = "ff"
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_NOT_SAMPLED: Final = "00"
_MS_PER_S: Final = 1_000


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a request stands in its distributed trace. `parent_id` is the caller's span, empty in a new trace."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    flags: str = _NOT_SAMPLED

    @property
    def traceparent(self) -> str:
        """The header to send on: the same trace, our own span as the parent."""
        return f"{_FIRST_VERSION}-{self.trace_id}-{self.span_id}-{self.flags}"


def new_trace() -> TraceContext:
    """A trace that begins here."""
    return TraceContext(os.urandom(_TRACE_ID_BYTES).hex(), os.urandom(_SPAN_ID_BYTES).hex())


def trace_of(traceparent: str | None) -> TraceContext:
    """The caller's trace continued, or a new one where the header is absent or malformed.

    Source: W3C Trace Context, sections 3.2 and 4.3: of a version above 00 the first four fields are read.
    """
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None:
        return new_trace()
    version, trace_id, parent_id, flags, rest = match.groups()
    if version == _INVALID_VERSION or (version == _FIRST_VERSION and rest is not None):
        return new_trace()
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return new_trace()
    return TraceContext(trace_id, os.urandom(_SPAN_ID_BYTES).hex(), parent_id, flags)


@dataclass(slots=True)
class RequestContext:
    """What is known of the request being served; read by log lines, problem documents and the answer's own fields."""

    request_id: str
    trace: TraceContext = field(default_factory=new_trace)
    route: str = ""
    tenant: str = ""
    started_s: float = field(default_factory=time.monotonic)
    deadline_s: float | None = None
    degraded: tuple[str, ...] = ()
    retries: int = 0
    queue_ms: float | None = None
    problem: str = ""

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the first byte that the application saw."""
        return (time.monotonic() - self.started_s) * _MS_PER_S


_current: ContextVar[RequestContext | None] = ContextVar("rag_request", default=None)


def current_request() -> RequestContext | None:
    """The request being served, or None outside of one."""
    return _current.get()


def enter_request(context: RequestContext) -> Token[RequestContext | None]:
    """Make `context` the current one; give the token to `leave_request`."""
    return _current.set(context)


def leave_request(token: Token[RequestContext | None]) -> None:
    """Undo `enter_request`."""
    _current.reset(token)
