from __future__ import annotations

import asyncio
import logging

import grpc
import pytest
from pymilvus.exceptions import DataNotMatchException, MilvusException, ParamError

from advanced_rag.adapters.milvus.errors import (
    CollectionMissing,
    CollectionNotLoaded,
    NothingToRank,
    fault_of,
    translated,
)
from advanced_rag.exceptions import (
    BulkheadFull,
    CallerError,
    DependencyError,
    DependencyInvalid,
    DependencyUnavailable,
    InsufficientStorage,
    MilvusConnectionError,
    RAGException,
)
from advanced_rag.telemetry.fault_log import FaultLog
from tests.fakes.clock import FakeClock

LOGGER = logging.getLogger("test.milvus")


class RpcFault(grpc.RpcError):  # type: ignore[misc]  # grpc comes without types
    """As grpc.aio raises them."""

    def __init__(self, status: grpc.StatusCode) -> None:
        super().__init__()
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return "details"


def quiet() -> FaultLog:
    return FaultLog(LOGGER)


@pytest.mark.req("R3.7")
@pytest.mark.req("R1.9")
@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        *(
            (MilvusException(code, "x"), DependencyUnavailable, True)
            for code in (1, 4, 8, 12, 103, 106, 202, 1002, 2200)
        ),
        *((MilvusException(code, "x"), DependencyUnavailable, False) for code in (3, 6, 9, 1400, 1401, 2000, 77)),
        (MilvusException(2, "Fail connecting"), MilvusConnectionError, True),
        (MilvusException(100, "x"), CollectionMissing, False),
        (MilvusException(101, "x"), CollectionNotLoaded, True),
        (MilvusException(201, "x"), CollectionNotLoaded, True),
        (MilvusException(2000, "=> Invalid sparse row: NaN or Inf value"), NothingToRank, True),
        (MilvusException(77, "x", retriable=True), DependencyUnavailable, True),
        (MilvusException(grpc.StatusCode.UNAVAILABLE, "x"), MilvusConnectionError, True),
        (MilvusException(grpc.StatusCode.UNKNOWN, "x"), DependencyUnavailable, True),
        (RpcFault(grpc.StatusCode.UNAVAILABLE), MilvusConnectionError, True),
        (RpcFault(grpc.StatusCode.INTERNAL), DependencyUnavailable, True),
        (RpcFault(grpc.StatusCode.UNIMPLEMENTED), DependencyUnavailable, False),
        (RpcFault(grpc.StatusCode.UNAUTHENTICATED), DependencyUnavailable, False),
        (ConnectionResetError(), MilvusConnectionError, True),
        (TimeoutError(), MilvusConnectionError, True),
    ],
)
def test_a_fault_of_milvus_becomes_a_dependency_error(
    error: Exception, kind: type[DependencyError], transient: bool
) -> None:
    fault = fault_of("milvus.semantic", error)
    assert type(fault) is kind
    assert isinstance(fault, DependencyError)
    assert fault.transient is transient
    assert fault.dependency == "milvus.semantic"


@pytest.mark.req("R3.7")
@pytest.mark.parametrize(
    "error",
    [
        *(MilvusException(code, "x") for code in (1100, 1101, 1102)),
        MilvusException(1, "vector dimension mismatch, expected 16, actual 12"),
        MilvusException(1, "Insert missed an field `year` to collection"),
        MilvusException(65, "x", is_input_error=True),
        ParamError(message="x"),
        DataNotMatchException(message="x"),
        RpcFault(grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_refused_request_is_no_fault_of_milvus(error: Exception) -> None:
    assert type(fault_of("milvus.semantic", error)) is CallerError


def test_a_full_disk_asks_for_patience() -> None:
    fault = fault_of("milvus.semantic", MilvusException(7, "x"))
    assert isinstance(fault, InsufficientStorage)
    assert fault.retry_after_s == 60.0


@pytest.mark.parametrize("error", [KeyError("entity"), ValueError("nan"), TypeError(), IndexError()])
def test_a_malformed_answer_is_invalid(error: Exception) -> None:
    with pytest.raises(DependencyInvalid), translated("milvus.semantic", faults=quiet()):
        raise error


def test_our_own_errors_pass_unchanged() -> None:
    own = BulkheadFull("full")
    with pytest.raises(BulkheadFull) as caught, translated("milvus.semantic", faults=quiet()):
        raise own
    assert caught.value is own


async def test_a_cancellation_passes_through() -> None:
    entered = asyncio.Event()

    async def call() -> None:
        with translated("milvus.semantic", faults=quiet()):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_nobody_asked_for_is_a_lost_connection() -> None:
    call: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(call.cancel)
    with pytest.raises(MilvusConnectionError), translated("milvus.semantic", faults=quiet()):
        await call


async def test_our_own_timeout_stays_one() -> None:
    async def call() -> None:
        async with asyncio.timeout(0.01):
            with translated("milvus.semantic", faults=quiet()):
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await call()


@pytest.mark.req("R10.6")
def test_a_fault_is_one_short_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    faults = FaultLog(LOGGER, clock=clock)
    for _ in range(50):
        with pytest.raises(RAGException), translated("milvus.semantic", faults=faults):
            raise MilvusException(2, "first\n  Traceback\n" + "x" * 5_000)
    clock.advance(1.0)
    with pytest.raises(RAGException), translated("milvus.semantic", faults=faults):
        raise MilvusException(2, "again")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("\n" not in line and len(line) < 500 for line in lines)
    assert caplog.records[1].__dict__["fields"]["repeated"] == 49


def test_nothing_to_rank_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NothingToRank), translated("milvus.sparse", faults=quiet()):
        raise MilvusException(2000, "Invalid sparse row: NaN or Inf value")
    assert not caplog.records
