"""Every error raised on purpose; the branch decides what is done about it.

RAGException              `code` is stable and public; str(error) is safe to show a caller; no status code
├─ CallerError            the request is wrong: never retried, never counted by a breaker
│  ├─ ValidationError     names the fields
│  ├─ NotFound
│  ├─ Conflict
│  │  ├─ LeaseLost         the work was taken over by somebody else
│  │  └─ KeyInProgress     the first request with that Idempotency-Key still runs
│  ├─ KeyMismatch          that Idempotency-Key came with another request before
│  └─ FileRefused         a file that cannot be read, is of no known type, or is too large once unpacked
├─ LoadShed               we refused without trying (permit, breaker, queue, drain): not retried, tells Retry-After
│  ├─ BulkheadFull
│  ├─ CircuitOpen
│  ├─ PoolExhausted
│  ├─ ShuttingDown
│  ├─ Starting
│  └─ InsufficientStorage
├─ DependencyError        a dependency was tried and failed: counted by its breaker, retried if transient
│  ├─ DependencyTimeout
│  ├─ DependencyUnavailable
│  │  └─ MilvusConnectionError
│  ├─ DependencyInvalid   it answered, and the answer cannot be used
│  ├─ EmbeddingGenerationError
│  ├─ RetrievalError      no lane answered
│  └─ SchemaMismatch
└─ DeadlineExceeded       the request's own time is over; says nothing about any dependency
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class RAGException(Exception):
    """Root of everything raised on purpose. `code` is stable and public, str(error) is safe to show a caller."""

    code = "internal"


class CallerError(RAGException):
    """The request is wrong and would be wrong again: not retried, not counted against a dependency."""

    code = "caller-error"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: `loc` is a JSON Pointer (RFC 6901) into the request, the refused value is never in it."""

    loc: str
    code: str
    message: str


class ValidationError(CallerError):
    """One or more fields were refused."""

    code = "validation"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.loc}: {error.message}" for error in errors))
        self.errors = tuple(errors)

    @classmethod
    def of(cls, loc: str, code: str, message: str) -> ValidationError:
        """One field's error."""
        return cls([FieldError(loc, code, message)])


class NotFound(CallerError):
    """Nothing of that id is visible to this tenant; another tenant's object is answered the same."""

    code = "not-found"


class Conflict(CallerError):
    """The request contradicts the state that it meets."""

    code = "conflict"


class LeaseLost(Conflict):
    """Somebody else has taken over what was being done; nothing of it was made visible."""


class KeyInProgress(Conflict):
    """The first request with that Idempotency-Key is still running."""

    code = "idempotency-in-progress"

    def __init__(self, key: str) -> None:
        super().__init__("The first request with this key is still running.")
        self.key = key


class KeyMismatch(CallerError):
    """That Idempotency-Key came with another request before."""

    code = "idempotency-mismatch"

    def __init__(self, key: str) -> None:
        super().__init__("This key came with another request before.")
        self.key = key


class FileRefused(CallerError):
    """A file was refused. `code` is `unsupported-media-type`, `payload-too-large` or `unreadable-file`.

    str(error) is a reason that a person understands (encrypted, empty, damaged, unpacks to too much, …).
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class LoadShed(RAGException):
    """Refused without trying. `retry_after_s`: after how long trying again makes sense, or None."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float | None = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BulkheadFull(LoadShed):
    """Every permit of `name` is taken and the wait for one was too long or too crowded."""


class CircuitOpen(LoadShed):
    """The breaker `name` is open: the dependency has been failing and is left alone until `retry_after_s`."""

    code = "dependency-unavailable"

    def __init__(self, name: str, *, retry_after_s: float) -> None:
        super().__init__(f"{name} is failing and not being called", retry_after_s=retry_after_s)
        self.name = name


class PoolExhausted(LoadShed):
    """No database connection became free within the configured wait."""


class ShuttingDown(LoadShed):
    """This process is draining."""

    code = "shutting-down"


class Starting(LoadShed):
    """This process has not finished starting."""

    code = "starting"


class InsufficientStorage(LoadShed):
    """The disk is too full to accept more."""

    code = "insufficient-storage"


class DependencyError(RAGException):
    """A dependency was tried and failed.

    `dependency` is its name (`milvus.semantic`, `database`, …); `transient` says whether trying again may help;
    `retry_after_s` is what the dependency itself asked for, if anything.
    """

    code = "dependency-unavailable"

    def __init__(
        self,
        dependency: str,
        message: str | None = None,
        *,
        transient: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message or f"{dependency} failed")
        self.dependency = dependency
        self.transient = transient
        self.retry_after_s = retry_after_s


class DependencyTimeout(DependencyError):
    """An attempt took longer than its limit."""

    def __init__(self, dependency: str, *, limit_s: float) -> None:
        super().__init__(dependency, f"{dependency} did not answer within {limit_s:g} s")
        self.limit_s = limit_s


class DependencyUnavailable(DependencyError):
    """Refused, reset, gone, or answering that it cannot serve."""


class MilvusConnectionError(DependencyUnavailable):
    """Milvus cannot be reached."""


class DependencyInvalid(DependencyError):
    """It answered, and the answer is malformed: wrong count, wrong dimension, NaN, a missing field."""


class EmbeddingGenerationError(DependencyError):
    """The embedding model failed."""


class RetrievalError(DependencyError):
    """No lane answered. `reasons` maps each lane to why."""

    code = "index-unavailable"

    def __init__(self, reasons: Mapping[str, str], *, retry_after_s: float | None = None) -> None:
        super().__init__("milvus", "no search lane answered", retry_after_s=retry_after_s)
        self.reasons = dict(reasons)


class SchemaMismatch(DependencyError):
    """The database's schema is not the one this version was written for."""

    code = "schema-mismatch"


class DeadlineExceeded(RAGException):
    """The request's own deadline is over. `stage` names what was being done."""

    code = "deadline-exceeded"

    def __init__(self, stage: str, *, deadline_s: float | None = None) -> None:
        super().__init__(f"the deadline was reached during {stage}")
        self.stage = stage
        self.deadline_s = deadline_s
