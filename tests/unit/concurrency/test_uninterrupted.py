"""Work that has ended before its caller goes on."""

from __future__ import annotations

import asyncio

import pytest

from advanced_rag.concurrency.uninterrupted import uninterrupted


async def test_results_and_errors_come_through() -> None:
    async def good() -> int:
        return 1

    async def bad() -> int:
        raise ValueError("no")

    assert await uninterrupted(good()) == 1
    with pytest.raises(ValueError, match="no"):
        await uninterrupted(bad())


@pytest.mark.req("R3.10")
@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_is_passed_on_once_the_work_has_ended(fails: bool) -> None:
    may_end, ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal ended
        await may_end.wait()
        ended = True
        if fails:
            raise ValueError("too late to matter")

    caller = asyncio.create_task(uninterrupted(work()))
    for _ in range(3):  # however often
        await asyncio.sleep(0)
        caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended


async def test_work_that_was_cancelled_itself_is_not_waited_for_for_ever() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await uninterrupted(work())
