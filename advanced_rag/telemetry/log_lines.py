"""A log entry and its line: frozen by the thread that logs, formatted by the thread that writes (reliability R10.1)."""

from __future__ import annotations

import json
import logging
import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from advanced_rag.telemetry.context import RequestContext
from advanced_rag.telemetry.redaction import redacted, shortened

FIELDS_ATTRIBUTE: Final = "fields"
_MAX_TRACEBACK_CHARS: Final = 8_192

_ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What was said, when, and for whom. `fields` are further members of the line."""

    created_s: float
    level: int
    level_name: str
    logger: str
    message: str
    fields: Mapping[str, object]
    exception: _ExceptionInfo | None = None
    request_id: str = ""
    trace_id: str = ""
    tenant: str = ""
    route: str = ""

    @classmethod
    def of(cls, record: logging.LogRecord, context: RequestContext | None) -> LogEntry:
        """Freeze a record: its arguments may change and the request may be over before the line is written."""
        fields = getattr(record, FIELDS_ATTRIBUTE, None)
        return cls(
            created_s=record.created,
            level=record.levelno,
            level_name=record.levelname,
            logger=record.name,
            message=record.getMessage(),
            fields=fields if isinstance(fields, Mapping) else {},
            exception=record.exc_info,
            request_id=context.request_id if context else "",
            # Only a caller's trace: an id that nobody else knows finds nothing that request_id would not.
            trace_id=context.trace.trace_id if context and context.trace.parent_id else "",
            tenant=context.tenant if context else "",
            route=context.route if context else "",
        )


def line_of(entry: LogEntry) -> bytes:
    """One line of JSON, line feed included. ASCII only: no control character or line separator of a caller is left.

    Never raises: a value that cannot be written is named instead, the writing thread must not end over it.
    """
    try:
        return _encoded(_members(entry))
    except Exception as error:  # noqa: BLE001  # any __str__ may run here
        return _encoded({"level": entry.level_name, "logger": entry.logger, "message": f"unwritable: {error!r:.200}"})


def _encoded(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n"


def _members(entry: LogEntry) -> dict[str, Any]:
    members: dict[str, Any] = {
        "time": datetime.fromtimestamp(entry.created_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": entry.level_name,
        "logger": entry.logger,
        "message": _value(entry.message),
    }
    for name in ("request_id", "trace_id", "tenant", "route"):
        if value := getattr(entry, name):
            members[name] = value
    for name, value in entry.fields.items():
        members.setdefault(name, _value(value))
    if entry.exception and entry.exception[0] is not None:
        text = "".join(traceback.format_exception(*entry.exception))
        members["exception"] = redacted(text[-_MAX_TRACEBACK_CHARS:])
    return members


def _value(value: object) -> object:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple() | set() | frozenset():
            return [_value(item) for item in value]
        case _:
            return shortened(redacted(str(value)))
