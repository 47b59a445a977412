"""From an error to the problem document that a caller sees: the one place that decides (reliability section 13).

Each branch of the error tree has its line in `problem_of`; an error without one is `internal`, says nothing of itself,
and is a bug.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from advanced_rag.api.json_gate import MAX_ERRORS
from advanced_rag.api.json_pointers import pointer
from advanced_rag.api.problem_types import PROBLEM_TYPES, ProblemType
from advanced_rag.api.refusals import HttpRefusal, MethodNotAllowed, PayloadTooLarge
from advanced_rag.constants import MILLISECONDS_PER_SECOND
from advanced_rag.exceptions import (
    CallerError,
    CircuitOpen,
    Conflict,
    DeadlineExceeded,
    DependencyError,
    FieldError,
    FileRefused,
    InsufficientStorage,
    KeyInProgress,
    KeyMismatch,
    LoadShed,
    NotFound,
    RAGException,
    RetrievalError,
    SchemaMismatch,
    ValidationError,
)
from advanced_rag.telemetry.context import current_request

_SHED_RETRY_AFTER_S: Final = 3  # at most; random, so that the refused do not all come back in the same second
_STATE_RETRY_AFTER_S: Final = 5
_STORAGE_RETRY_AFTER_S: Final = 60
_MAX_RETRY_AFTER_S: Final = 30
_KEY_RETRY_AFTER_S: Final = 1
_BUSY: Final = "busy"
_CODES: Final = {"extra_forbidden": "unknown-field", "missing": "missing"}
_BY_STATUS: Final = {
    400: "malformed-json",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
    422: "validation",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem to answer. `members` extend the document, `headers` the answer; `closes` ends the connection."""

    type: ProblemType
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    closes: bool = False


def problem(name: str, detail: str, *, retry_after_s: int | None = None, **members: Any) -> Problem:
    """A problem by name; `retry_after_s` is a member too where it is given."""
    if retry_after_s is not None:
        members["retry_after"] = retry_after_s
    return Problem(PROBLEM_TYPES[name], detail, members, retry_after_s)


def problem_of(error: BaseException) -> Problem:
    """The problem that an error is to its caller. Never raises; what it does not know is `internal`."""
    match error:
        case RequestValidationError():
            # The first part of a location says where (body, query, path) and is no field.
            return _validation(field_errors({**entry, "loc": entry["loc"][1:]} for entry in error.errors()))
        case HTTPException():
            return _of_framework(error)
        case HttpRefusal() if error.code in PROBLEM_TYPES:
            return _of_refusal(error)
        case CallerError():
            return _of_caller(error)
        case LoadShed():
            return _of_shed(error)
        case DependencyError():
            return _of_dependency(error)
        case DeadlineExceeded():
            return _of_deadline(error)
        case BaseExceptionGroup() if len(error.exceptions) == 1:  # a TaskGroup wraps even a single failure
            return problem_of(error.exceptions[0])
        case _:
            return problem("internal", "Something went wrong on our side. The request id helps us to find it.")


def field_errors(errors: Iterable[Mapping[str, Any]], *, within: Sequence[str | int] = ()) -> list[FieldError]:
    """Translate pydantic's errors; `within` is where the validated value stands in the request."""
    return [
        FieldError(
            loc=pointer((*within, *error["loc"])),
            code=_CODES.get(error["type"], str(error["type"]).replace("_", "-")),
            message=str(error["msg"]),
        )
        for error in errors
    ]


def _validation(errors: Sequence[FieldError]) -> Problem:
    listed = [{"loc": error.loc, "code": error.code, "message": error.message} for error in errors[:MAX_ERRORS]]
    detail = "1 field was refused." if len(errors) == 1 else f"{len(errors)} fields were refused."
    return problem("validation", detail, errors=listed)


def _of_framework(error: HTTPException) -> Problem:
    name = _BY_STATUS.get(error.status_code, "internal")
    kind = PROBLEM_TYPES[name]
    return Problem(kind, kind.summary, headers=dict(error.headers or {}))


def _of_refusal(error: HttpRefusal) -> Problem:
    members: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, PayloadTooLarge):
        members["limit_bytes"] = error.limit_bytes
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(PROBLEM_TYPES[error.code], str(error), members, headers=headers, closes=error.closes)


def _of_caller(error: CallerError) -> Problem:
    match error:
        case ValidationError():
            return _validation(error.errors)
        case NotFound():
            return problem("not-found", str(error) or PROBLEM_TYPES["not-found"].summary)
        case KeyInProgress():
            return problem(error.code, str(error), retry_after_s=_KEY_RETRY_AFTER_S, idempotency_key=error.key)
        case KeyMismatch():
            return problem(error.code, str(error), idempotency_key=error.key)
        case Conflict():
            return problem("conflict", str(error))
        case FileRefused() if error.code in PROBLEM_TYPES:
            return problem(error.code, str(error))
        case _:
            return _validation([FieldError("", error.code, str(error))])


def _of_shed(error: LoadShed) -> Problem:
    match error:
        case CircuitOpen():
            return _unavailable(error.name, str(error), error.retry_after_s)
        case InsufficientStorage():
            return problem("insufficient-storage", str(error), retry_after_s=_STORAGE_RETRY_AFTER_S)
        case _ if error.code in ("starting", "shutting-down"):
            return problem(error.code, str(error), retry_after_s=_STATE_RETRY_AFTER_S)
        case _:
            return problem("overloaded", str(error), retry_after_s=_spread(error.retry_after_s))


def _of_dependency(error: DependencyError) -> Problem:
    if isinstance(error, SchemaMismatch):
        return problem("schema-mismatch", str(error), retry_after_s=_STATE_RETRY_AFTER_S, dependency=error.dependency)
    if isinstance(error, RetrievalError):
        degraded = [f"{lane}:{reason}" for lane, reason in error.reasons.items()]
        if error.reasons and all(reason == _BUSY for reason in error.reasons.values()):
            return problem("overloaded", str(error), retry_after_s=1, dependency=error.dependency, degraded=degraded)
        return _unavailable(error.dependency, str(error), error.retry_after_s, degraded=degraded)
    return _unavailable(error.dependency, str(error), error.retry_after_s)


def unavailable_name(dependency: str) -> str:
    """The name of the problem that the absence of `dependency` is."""
    match dependency.partition(".")[0]:
        case "milvus":
            return "index-unavailable"
        case "database":
            return "database-unavailable"
        case _:
            return "dependency-unavailable"


def _unavailable(dependency: str, detail: str, retry_after_s: float | None, **members: Any) -> Problem:
    wait_s = min(max(math.ceil(retry_after_s or 0), 1), _MAX_RETRY_AFTER_S)
    return problem(unavailable_name(dependency), detail, retry_after_s=wait_s, dependency=dependency, **members)


def _spread(retry_after_s: float | None) -> int:
    return max(math.ceil(retry_after_s or 0), 1 + secrets.randbelow(_SHED_RETRY_AFTER_S))


def _of_deadline(error: DeadlineExceeded) -> Problem:
    members: dict[str, Any] = {"stage": error.stage}
    context = current_request()
    deadline_s = error.deadline_s if error.deadline_s is not None else context.deadline_s if context else None
    if deadline_s is not None:
        members["deadline_ms"] = round(deadline_s * MILLISECONDS_PER_SECOND)
    if context is not None:
        members["spent_ms"] = round(context.elapsed_ms)
    return problem("deadline-exceeded", "The answer was not ready in the time allowed.", **members)


def documented_problems(statuses: Iterable[int]) -> list[ProblemType]:
    """The problems that have one of these statuses, by status."""
    wanted = set(statuses)
    return [kind for kind in PROBLEM_TYPES.values() if kind.status in wanted]


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised on purpose: then it is an answer, not a bug."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return is_ours(error.exceptions[0])
    return type(error) is not RAGException and isinstance(error, RAGException | RequestValidationError | HTTPException)
