"""Milvus's, pymilvus's and gRPC's errors as ours; what they said goes to the log, never to a caller.

Codes are those of milvus-io/milvus `pkg/util/merr/errors.go`, the table is `reliability.md` R3.7. Seen with pymilvus
3.0.2: `MilvusException.code` may be a `grpc.StatusCode`, and some gRPC errors are passed through as they are.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import grpc
from pymilvus.exceptions import (
    DataNotMatchException,
    DataTypeNotMatchException,
    MilvusException,
    ParamError,
    PrimaryKeyException,
)

from advanced_rag.exceptions import (
    CallerError,
    DependencyInvalid,
    DependencyUnavailable,
    InsufficientStorage,
    MilvusConnectionError,
    RAGException,
)
from advanced_rag.telemetry.fault_log import FaultLog

_FAULTS: Final = FaultLog(logging.getLogger(__name__))
_MAX_DETAIL_CHARS: Final = 300
_STORAGE_RETRY_AFTER_S: Final = 60.0

_CONNECT_FAILED: Final = 2
_RETRIABLE: Final = frozenset({1, 4, 8, 12, 103, 106, 202, 1002, 2200})
_NOT_LOADED: Final = frozenset({101, 201})
_DISK_FULL: Final = 7
_COLLECTION_MISSING: Final = 100
_PARAMETER_REFUSED: Final = frozenset({1100, 1101, 1102})
_UNEXPECTED: Final = 1
_SEGMENT_CORE: Final = 2000
_NO_STATISTICS: Final = "Invalid sparse row: NaN"  # an average length of 0/0 (seen with the engine 2.5.1)
# Code 1 stands for many things; these are the request's fault and would be so again.
_CALLER_TEXTS: Final = re.compile(r"dimension|missed an? field|invalid expr|cannot parse expression", re.IGNORECASE)

_UNREACHABLE_STATUS: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_TRANSIENT_STATUS: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
_CALLER_STATUS: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})

# pymilvus looked at the request and sent nothing.
_REFUSED_BY_DRIVER: Final = (ParamError, DataNotMatchException, DataTypeNotMatchException, PrimaryKeyException)


class CollectionNotLoaded(DependencyUnavailable):
    """Milvus has the collection and does not serve it until it is loaded."""


class CollectionMissing(DependencyUnavailable):
    """There is no such collection: it must be made and filled again from the database."""


class NothingToRank(DependencyUnavailable):
    """BM25 has no statistics, because no row has a term yet; whoever searches may take it for an empty answer."""


@contextmanager
def translated(name: str, *, faults: FaultLog = _FAULTS) -> Iterator[None]:
    """Turn what the driver raises within into our hierarchy, and log it in one line, at most one a second a name.

    A cancellation passes through, but for one that nobody asked for: gRPC ends the calls of a channel that is closed
    under them so, and whoever awaited would take that for the client's going away.
    """
    try:
        yield
    except RAGException:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise MilvusConnectionError(name, f"the connection of {name} was closed") from error
    except (MilvusException, grpc.RpcError, OSError, TimeoutError) as error:
        fault = fault_of(name, error)
        if not isinstance(fault, NothingToRank):
            faults.report(name, f"{type(fault).__name__}: {_detail(error)}", level=_level(fault))
        raise fault from error
    except (KeyError, IndexError, TypeError, ValueError) as error:
        faults.report(name, f"malformed answer: {error!r:.{_MAX_DETAIL_CHARS}}", level=logging.ERROR)
        raise DependencyInvalid(name, f"{name} gave a malformed answer") from error


def fault_of(name: str, error: Exception) -> RAGException:
    """What an error of the driver, of gRPC or of the socket means to us."""
    if isinstance(error, _REFUSED_BY_DRIVER):
        return CallerError(f"{name} refused the request")
    if isinstance(error, MilvusException):
        if isinstance(error.code, grpc.StatusCode):
            return _of_status(name, error.code)
        return _of_code(name, error)
    if isinstance(error, grpc.RpcError):
        return _of_status(name, error.code())
    return MilvusConnectionError(name, f"{name} cannot be reached")


def _of_status(name: str, status: grpc.StatusCode) -> RAGException:
    if status in _UNREACHABLE_STATUS:
        return MilvusConnectionError(name, f"{name} cannot be reached")
    if status in _CALLER_STATUS:
        return CallerError(f"{name} refused the request")
    return DependencyUnavailable(name, transient=status in _TRANSIENT_STATUS)


def _of_code(name: str, error: MilvusException) -> RAGException:
    code = int(error.code)
    if code == _CONNECT_FAILED:
        return MilvusConnectionError(name, f"{name} cannot be reached")
    if code in _NOT_LOADED:
        return CollectionNotLoaded(name, f"a collection of {name} is not loaded")
    if code == _COLLECTION_MISSING:
        return CollectionMissing(name, f"a collection of {name} is missing", transient=False)
    if code == _SEGMENT_CORE and _NO_STATISTICS in (error.message or ""):
        return NothingToRank(name, f"{name} has nothing to rank")
    if code == _DISK_FULL:
        return InsufficientStorage(f"{name} has no room left", retry_after_s=_STORAGE_RETRY_AFTER_S)
    if code in _PARAMETER_REFUSED or error.is_input_error:
        return CallerError(f"{name} refused the request")
    if code == _UNEXPECTED and _CALLER_TEXTS.search(error.message or ""):
        return CallerError(f"{name} refused the request")
    return DependencyUnavailable(name, transient=code in _RETRIABLE or error.retriable)


def _detail(error: Exception) -> str:
    """One short line: pymilvus and gRPC append stacks and debug strings over many."""
    if isinstance(error, MilvusException):
        text = f"code {error.code}: {error.message}"
    elif isinstance(error, grpc.RpcError):
        text = f"{error.code()}: {error.details()}"
    else:
        text = repr(error)
    lines: Sequence[str] = text.strip().splitlines()
    return " ".join(line.strip() for line in lines)[:_MAX_DETAIL_CHARS]


def _level(fault: RAGException) -> int:
    """What needs somebody to act, or us to mend a defect, is an ERROR."""
    return (
        logging.ERROR if isinstance(fault, CallerError | CollectionMissing | InsufficientStorage) else logging.WARNING
    )
