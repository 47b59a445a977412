"""A request with a key, over a fake store: executed once, whoever repeats it and whatever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from advanced_rag.exceptions import DeadlineExceeded, DependencyUnavailable, KeyInProgress, KeyMismatch
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import KeyClaim, KeyedRequest
from advanced_rag.services.idempotency import IdempotencyService, fingerprint_of
from tests.fakes.clock import FakeClock
from tests.fakes.idempotency_store import FakeIdempotencyStore
from tests.fakes.services import ACME, FakeServices, given
from tests.fakes.virtual_time import run_virtually

REQUEST = KeyedRequest(ACME, "/v1/ingest", "k", "f")


class Work:
    """What is to be done once."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.done = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self, claim: KeyClaim) -> KeptAnswer:
        self.done += 1
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        return claim.kept(200, {"a": "b"}, f"answer {self.done}")


def service(clock: Callable[[], float] | None = None) -> tuple[IdempotencyService, FakeClock]:
    own = FakeClock()
    return IdempotencyService(FakeIdempotencyStore(clock or own), lease_s=60.0, renew_s=20.0, keep_s=86_400.0), own


@pytest.mark.req("R6.5")
async def test_a_repeated_request_gets_the_first_ones_answer() -> None:
    keys, _ = service()
    work = Work()
    first, replayed = await keys.once(REQUEST, work)
    again, replayed_again = await keys.once(REQUEST, work)
    assert (work.done, replayed, replayed_again) == (1, False, True)
    assert (again.status, again.headers, again.body) == (first.status, first.headers, first.body)


@pytest.mark.req("R6.5")
async def test_another_request_under_the_same_key_is_refused() -> None:
    keys, _ = service()
    await keys.once(REQUEST, Work())
    with pytest.raises(KeyMismatch):
        await keys.once(replace(REQUEST, fingerprint="other"), Work())


@pytest.mark.req("R6.5")
async def test_of_a_hundred_at_once_one_is_executed() -> None:
    keys, _ = service()
    work = Work()
    work.goes_on.clear()
    tasks = [asyncio.create_task(keys.once(REQUEST, work)) for _ in range(100)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    work.goes_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert work.done == 1
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, KeyInProgress) for result in results) == 99


@pytest.mark.req("R6.5")
@pytest.mark.parametrize("error", [DependencyUnavailable("database"), DeadlineExceeded("ingest"), ValueError("a bug")])
async def test_what_failed_is_not_kept(error: Exception) -> None:
    keys, _ = service()
    with pytest.raises(type(error)):
        await keys.once(REQUEST, Work(error))
    answer, replayed = await keys.once(replace(REQUEST, fingerprint="other"), Work())
    assert (answer.status, replayed) == (200, False)


async def test_a_request_that_is_cancelled_gives_its_key_back() -> None:
    keys, _ = service()
    work = Work()
    work.goes_on.clear()
    task = asyncio.create_task(keys.once(REQUEST, work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await keys.once(REQUEST, Work()))[1] is False


@pytest.mark.req("R6.3", "K1")
async def test_the_key_of_a_process_that_died_is_free_after_its_lease() -> None:
    keys, clock = service()
    await keys.store.claim(REQUEST, lease_s=60.0, keep_s=86_400.0)  # and nothing more of that process
    with pytest.raises(KeyInProgress):
        await keys.once(REQUEST, Work())
    clock.advance(61.0)
    assert (await keys.once(REQUEST, Work()))[1] is False


@pytest.mark.req("R6.5")
async def test_an_answer_is_kept_for_a_day() -> None:
    keys, clock = service()
    await keys.once(REQUEST, Work())
    clock.advance(86_399.0)
    assert (await keys.once(REQUEST, Work()))[1] is True
    clock.advance(2.0)
    assert (await keys.once(REQUEST, Work()))[1] is False


def test_a_long_request_keeps_its_key() -> None:
    async def main(clock: Callable[[], float]) -> None:
        keys, _ = service(clock)
        work = Work()
        work.goes_on.clear()
        task = asyncio.create_task(keys.once(REQUEST, work))
        for _ in range(30):
            await asyncio.sleep(10.0)
            with pytest.raises(KeyInProgress):
                await keys.once(REQUEST, Work())
        work.goes_on.set()
        assert (await task)[0].body == "answer 1"

    run_virtually(main)


@pytest.mark.req("R6.3", "K7")
async def test_the_answer_is_committed_with_the_last_flip() -> None:
    """The process dies right after the COMMIT: the key has its answer, and the documents are there."""
    services = FakeServices()
    claim = await services.keys.claim(REQUEST, lease_s=60.0, keep_s=86_400.0)
    assert isinstance(claim, KeyClaim)
    asked: list[list[str]] = []

    def kept(outcomes: object) -> KeptAnswer:
        assert isinstance(outcomes, list)
        asked.append([outcome.status.value for outcome in outcomes])
        return claim.kept(200, {}, "answer")

    documents = [given(f"Document number {number}.", f"d{number}") for number in range(7)]
    await services.indexing.ingest(ACME, [*documents, given("x", "wrong", metadata={"year": "2020"})], also=kept)
    assert asked == [["indexed"] * 7 + ["failed"]]  # once, when every other group was through
    answer = await services.keys.claim(REQUEST, lease_s=60.0, keep_s=86_400.0)
    assert isinstance(answer, KeptAnswer)
    assert answer.body == "answer"


def test_a_fingerprint_is_of_the_content() -> None:
    assert fingerprint_of({"a": 1, "b": [1, "Ä"]}) == fingerprint_of({"b": [1, "Ä"], "a": 1})
    different = [{"a": 1}, {"a": "1"}, {"a": [1]}, {"a": True}, {"a": None}, {}, [], {"b": 1}]
    assert len({fingerprint_of(value) for value in different}) == len(different)
