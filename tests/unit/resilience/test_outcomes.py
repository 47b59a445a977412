from __future__ import annotations

import asyncio

import pytest

from advanced_rag.exceptions import (
    BulkheadFull,
    CircuitOpen,
    Conflict,
    DeadlineExceeded,
    DependencyError,
    DependencyInvalid,
    DependencyTimeout,
    DependencyUnavailable,
    EmbeddingGenerationError,
    MilvusConnectionError,
    NotFound,
    PoolExhausted,
    RAGException,
    SchemaMismatch,
    ShuttingDown,
    ValidationError,
)
from advanced_rag.resilience.outcomes import CUT_OFF, Outcome, outcome_of, was_cut_off

pytestmark = pytest.mark.req("R1.9")

FAILURES: list[BaseException] = [
    DependencyError("database"),
    DependencyTimeout("database", limit_s=5),
    DependencyUnavailable("database"),
    MilvusConnectionError("milvus.semantic"),
    DependencyInvalid("embedding"),
    EmbeddingGenerationError("embedding"),
    SchemaMismatch("database", transient=False),
    DependencyError("llm", retry_after_s=7.0),
]
ANSWERS: list[BaseException | None] = [
    None,
    ValidationError.of("/filters", "unknown-field", "is not declared"),
    NotFound("no such document"),
    Conflict("another version is active"),
]
SAYS_NOTHING: list[BaseException] = [
    asyncio.CancelledError(),
    asyncio.CancelledError("the client went away"),
    BulkheadFull("busy"),
    CircuitOpen("database", retry_after_s=1),
    PoolExhausted("no connection"),
    ShuttingDown("draining"),
    DeadlineExceeded("database"),
    RAGException("ours"),
    TypeError("our bug"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_what_the_dependency_did_wrong_is_a_failure(error: BaseException) -> None:
    assert outcome_of(error, 0.1, 0.5) is Outcome.FAILURE


@pytest.mark.parametrize("error", ANSWERS, ids=repr)
def test_an_answer_is_a_success_even_if_the_caller_was_wrong(error: BaseException | None) -> None:
    assert outcome_of(error, 0.1, 0.5) is Outcome.SUCCESS


@pytest.mark.parametrize("error", SAYS_NOTHING, ids=repr)
def test_what_says_nothing_about_the_dependency_is_ignored(error: BaseException) -> None:
    assert outcome_of(error, 0.1, 0.5) is Outcome.IGNORED


@pytest.mark.req("R1.4")
def test_a_cut_off_is_told_from_every_other_cancellation() -> None:
    assert outcome_of(asyncio.CancelledError(CUT_OFF), 0.1, None) is Outcome.CUT_OFF
    assert not was_cut_off(asyncio.CancelledError("shutdown"))
    assert not was_cut_off(TypeError(CUT_OFF))


def test_the_requests_deadline_counts_only_where_the_dependency_had_time_to_answer() -> None:
    assert outcome_of(DeadlineExceeded("database"), 0.5, 0.5) is Outcome.IGNORED
    assert outcome_of(DeadlineExceeded("database"), 0.6, 0.5) is Outcome.FAILURE
    assert outcome_of(DeadlineExceeded("milvus.semantic"), 3.0, None) is Outcome.IGNORED


@pytest.mark.req("R3.5")
async def test_the_cut_off_mark_survives_what_lies_between_the_lane_and_the_breaker() -> None:
    """Timeouts, nested tasks and gathers pass the message on: seen with CPython 3.11."""
    seen: list[BaseException] = []

    async def call() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            seen.append(error)
            raise

    async def timed() -> None:
        async with asyncio.timeout(60):
            await call()

    async def gathered() -> None:
        await asyncio.gather(call(), call())

    async def nested() -> None:
        await asyncio.create_task(call())

    for lane in (call, timed, gathered, nested):
        task = asyncio.create_task(lane())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel(CUT_OFF)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(seen) == 5
    assert all(map(was_cut_off, seen))
