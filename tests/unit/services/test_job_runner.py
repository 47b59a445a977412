"""Runners over fakes: what is finished whoever is killed, what waits, and what is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest

from advanced_rag.domain.documents import DocumentId, Matrix
from advanced_rag.domain.jobs import JobState
from advanced_rag.exceptions import DependencyUnavailable, EmbeddingGenerationError, MilvusConnectionError
from advanced_rag.ports.jobs import Job
from advanced_rag.services.ingest_outcome import IngestError, IngestOutcome, IngestStatus
from advanced_rag.services.job_items import JobItem, items_of_json, items_to_json
from advanced_rag.services.job_runner import JobRunner, JobRunnerValues
from advanced_rag.services.jobs import JobsService, outcomes_of
from tests.fakes.encoder import HashEncoder
from tests.fakes.services import ACME, FakeServices, InlineWorkers, given, names
from tests.fakes.virtual_time import run_virtually

VALUES = JobRunnerValues(
    lease_s=30.0,
    heartbeat_s=10.0,
    poll_s=1.0,
    documents_per_group=2,
    max_attempts=3,
    backoff_base_s=1.0,
    backoff_max_s=60.0,
)
KILLED = RuntimeError("killed")


class Replaced:
    """Another object, some of whose methods are replaced."""

    def __init__(self, inner: Any, **methods: Any) -> None:
        self._inner = inner
        self.__dict__ |= methods

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Rig:
    """The services, a queue and runners over them."""

    def __init__(self) -> None:
        self.services = FakeServices()
        self.queue = self.services.jobs
        self.jobs = JobsService(self.queue, InlineWorkers(), look_interval_s=0.5)

    def runner(self, *, queue: Any = None, **options: Any) -> JobRunner:
        return JobRunner(queue or self.queue, self.services.indexing, InlineWorkers(), VALUES, **options)

    def replace_documents(self, **methods: Any) -> None:
        """From now on indexing sees these methods of the document store; without any, its own."""
        store: Any = Replaced(self.services.documents, **methods)
        object.__setattr__(self.services.indexing, "store", store)

    def before_flip(self, act: Callable[[], Awaitable[None]]) -> None:
        """`act` comes before each flip."""

        async def activate(*args: Any, **kwargs: Any) -> Any:
            await act()
            return await self.services.documents.activate(*args, **kwargs)

        self.replace_documents(activate=activate)

    async def enqueue(self, *items: JobItem, job_id: str = "j1") -> None:
        await self.jobs.enqueue(ACME, job_id, items)

    async def job(self, job_id: str = "j1") -> Job:
        return await self.jobs.job(ACME, job_id)

    async def statuses(self, job_id: str = "j1") -> list[str]:
        return [outcome.status.value for outcome in outcomes_of(await self.job(job_id))]

    async def run_until_ended(self, runner: JobRunner, job_id: str = "j1", *, looks: int = 50) -> Job:
        """Let the runner take the job again and again, the clock going on in between."""
        for _ in range(looks):
            await runner.run_one()
            if (job := await self.job(job_id)).state.is_finished:
                return job
            self.services.clock.advance(61.0)
        raise AssertionError(f"the job has not ended: {job}")


def documents(count: int) -> list[JobItem]:
    return [given(f"Document number {number}.", f"d{number}") for number in range(count)]


class ProcessDiedError(BaseException):
    """Nothing is left that could do anything about it."""


class Stumbling(HashEncoder):
    """Fails at texts with a bad word, in the way that it is told."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.stumbles_with = error
        self.stumbled = 0

    async def encode_documents(self, texts: Sequence[str]) -> Matrix:
        if any("bad" in text for text in texts):
            self.stumbled += 1
            raise self.stumbles_with
        return await super().encode_documents(texts)


def stumbling(rig: Rig, error: Exception) -> Stumbling:
    encoder = Stumbling(error)
    object.__setattr__(rig.services.indexing.semantic, "encoder", encoder)
    return encoder


async def test_a_job_takes_its_documents_in_in_order() -> None:
    rig = Rig()
    await rig.enqueue(*documents(5))
    assert await rig.runner().run_one()
    job = await rig.job()
    assert (job.state, job.total, job.done, job.failed) == (JobState.SUCCEEDED, 5, 5, 0)
    assert [outcome.id for outcome in outcomes_of(job)] == [f"d{number}" for number in range(5)]
    assert len(names(await rig.services.retrieve("document number"))) == 5
    assert not await rig.runner().run_one()


async def test_a_refused_document_keeps_its_place_among_the_others() -> None:
    rig = Rig()
    refusal = IngestError("empty", "It must not be empty.", "/text")
    refused = IngestOutcome(DocumentId("bad"), IngestStatus.FAILED, error=refusal)
    wrong = given("text", "wrong", metadata={"year": "2020"})
    await rig.enqueue(refused, given("good", "good"), wrong)
    await rig.runner().run_one()
    assert await rig.statuses() == ["failed", "indexed", "failed"]
    assert [outcome.error and outcome.error.loc for outcome in outcomes_of(await rig.job())] == [
        "/text",
        None,
        "/metadata/year",
    ]


async def test_a_job_without_one_good_document_has_failed() -> None:
    rig = Rig()
    await rig.enqueue(given("text", "wrong", metadata={"year": "2020"}))
    await rig.runner().run_one()
    assert (await rig.job()).state is JobState.FAILED


@pytest.mark.req("R6.14")
async def test_progress_is_committed_group_by_group_and_never_falls() -> None:
    rig = Rig()
    await rig.enqueue(*documents(5))
    seen: list[int] = []

    async def look() -> None:
        seen.append((await rig.job()).done)

    rig.before_flip(look)
    await rig.runner().run_one()
    assert [*seen, (await rig.job()).done] == [0, 2, 4, 5]


@pytest.mark.req("R6.3", "K2", "K8")
async def test_a_job_whose_runner_died_goes_on_where_its_progress_stands() -> None:
    """The runner is abandoned after a flip: what it committed with it counts, and is not done again."""
    rig = Rig()
    await rig.enqueue(*documents(4))
    with pytest.raises(RuntimeError):
        await rig.runner(queue=Replaced(rig.queue, record=_dying)).run_one()
    assert await rig.statuses() == ["indexed", "indexed"]
    assert not await rig.runner().run_one()  # its lease lives
    rig.services.clock.advance(31.0)
    assert await rig.runner().run_one()
    assert (await rig.job()).state is JobState.SUCCEEDED
    assert await rig.statuses() == ["indexed"] * 4


async def _dying(*_: Any, **__: Any) -> JobState:
    raise KILLED


@pytest.mark.req("R6.3", "K8")
async def test_documents_that_are_in_already_come_out_unchanged() -> None:
    rig = Rig()
    await rig.services.ingest(given("Document number 0.", "d0"))
    await rig.enqueue(*documents(2))
    await rig.runner().run_one()
    assert await rig.statuses() == ["unchanged", "indexed"]


@pytest.mark.req("R6.15")
async def test_a_runner_that_was_stopped_longer_than_its_lease_makes_nothing_visible() -> None:
    """It is stopped just before the flip; another one takes the job over and finishes it; then it goes on."""
    rig = Rig()
    await rig.enqueue(given("The keys hang in cabinet B.", "keys"))
    reached, goes_on = asyncio.Event(), asyncio.Event()
    first = iter([True])

    async def stop_once() -> None:
        if next(first, False):
            reached.set()
            await goes_on.wait()

    rig.before_flip(stop_once)
    stopped = asyncio.create_task(rig.runner().run_one())
    await reached.wait()
    rig.services.clock.advance(31.0)
    await rig.runner().run_one()
    finished = await rig.job()
    goes_on.set()
    assert await stopped
    assert await rig.job() == finished
    assert finished.state is JobState.SUCCEEDED
    assert await rig.statuses() == ["indexed"]
    record = await rig.services.documents.document(ACME, outcomes_of(finished)[0].id)
    assert record is not None
    assert record[0].version == outcomes_of(finished)[0].version


@pytest.mark.req("R6.15")
def test_a_heartbeat_keeps_the_lease_of_a_long_group() -> None:
    async def main(clock: Callable[[], float]) -> None:
        rig = Rig()
        rig.queue.clock = clock
        await rig.enqueue(*documents(1))
        rig.before_flip(partial(asyncio.sleep, 300.0))
        working = asyncio.create_task(rig.runner().run_one())
        for _ in range(29):
            await asyncio.sleep(10.0)
            assert await rig.queue.claim(lease_s=30.0) is None
        await working
        assert (await rig.job()).state is JobState.SUCCEEDED

    run_virtually(main)


@pytest.mark.parametrize("part", ["semantic", "sparse", "encoder"])
@pytest.mark.req("R6.3", "K13")
async def test_what_is_away_is_waited_for_without_an_end(part: str) -> None:
    rig = Rig()
    await rig.enqueue(*documents(3))
    broken = getattr(rig.services, part)
    broken.error = DependencyUnavailable("embedding") if part == "encoder" else MilvusConnectionError("milvus")
    runner = rig.runner()
    for _ in range(10):
        assert await runner.run_one()
        job = await rig.job()
        assert (job.state, job.done) == (JobState.QUEUED, 0)
        assert job.error
        rig.services.clock.advance(61.0)
    broken.error = None
    assert (await rig.run_until_ended(runner)).failed == 0
    assert (await rig.job()).error is None


async def test_waits_grow_and_are_bounded() -> None:
    rig = Rig()
    await rig.enqueue(*documents(1))
    rig.services.semantic.error = MilvusConnectionError("milvus")
    runner, waits = rig.runner(), []
    for _ in range(9):
        assert await runner.run_one()
        until = rig.queue.rows[ACME, "j1"].lease_until
        assert until is not None
        waits.append(until - rig.services.clock())
        rig.services.clock.advance(61.0)
    assert 0.5 <= waits[0] <= 1.0
    assert 30.0 <= waits[-1] <= 60.0


@pytest.mark.req("R6.16")
@pytest.mark.parametrize(
    "error", [EmbeddingGenerationError("embedding", transient=False), ValueError("a bug")], ids=["its own", "a bug"]
)
async def test_a_document_that_always_fails_is_given_up_and_keeps_nobody_out(error: Exception) -> None:
    rig = Rig()
    encoder = stumbling(rig, error)
    await rig.enqueue(given("fine 1", "a"), given("bad", "b"), given("fine 2", "c"), given("fine 3", "d"))
    await rig.enqueue(given("other job", "e"), job_id="j2")
    runner = rig.runner()
    assert await runner.run_one()
    assert await runner.run_one()  # the first job waits for another attempt: the second is not kept
    assert (await rig.job("j2")).state is JobState.SUCCEEDED
    job = await rig.run_until_ended(runner)
    assert (job.state, job.failed) == (JobState.SUCCEEDED, 1)
    assert await rig.statuses() == ["indexed", "failed", "indexed", "indexed"]
    assert outcomes_of(job)[1].error is not None
    assert encoder.stumbled == 4  # once together with another, three times by itself


@pytest.mark.req("R6.16")
async def test_a_document_that_kills_its_process_is_given_up() -> None:
    rig = Rig()
    await rig.enqueue(given("fine 1", "a"), given("bad", "b"), given("fine 2", "c"))
    deaths = []

    async def deadly(tenant: Any, drafts: Any, **options: Any) -> Any:
        if any("bad" in draft.document.text for draft in drafts):
            deaths.append(len(drafts))
            raise ProcessDiedError
        return await rig.services.documents.stage(tenant, drafts, **options)

    rig.replace_documents(stage=deadly)
    for _ in range(8):
        try:
            await rig.runner().run_one()
        except* ProcessDiedError:
            rig.services.clock.advance(31.0)
    assert await rig.statuses() == ["indexed", "failed", "indexed"]
    assert deaths == [2, 1, 1, 1]  # once together with another, three times by itself


async def test_a_cancelled_job_ends_after_the_group_under_way() -> None:
    rig = Rig()
    await rig.enqueue(*documents(6))

    async def cancel() -> None:
        if not (await rig.job()).state.is_finished:
            await rig.jobs.cancel(ACME, "j1")

    rig.before_flip(cancel)
    await rig.runner().run_one()
    job = await rig.job()
    assert (job.state, job.done) == (JobState.CANCELLED, 2)
    assert len(names(await rig.services.retrieve("document number"))) == 2


@pytest.mark.req("R7.2")
async def test_a_runner_that_is_told_to_stop_gives_its_job_back_between_groups() -> None:
    rig = Rig()
    await rig.enqueue(*documents(6))
    runner = rig.runner()

    async def stop() -> None:
        runner.stop()

    rig.before_flip(stop)
    await asyncio.wait_for(runner.run(), 5.0)
    job = await rig.job()
    assert (job.state, job.done, job.error) == (JobState.QUEUED, 2, None)
    rig.replace_documents()
    await rig.runner().run_one()
    assert (await rig.job()).state is JobState.SUCCEEDED


async def test_a_runner_that_is_cancelled_gives_its_job_back_at_once() -> None:
    rig = Rig()
    await rig.enqueue(*documents(2))
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    rig.before_flip(hang)
    working = asyncio.create_task(rig.runner().run_one())
    await reached.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    rig.replace_documents()
    assert await rig.runner().run_one()
    assert (await rig.job()).state is JobState.SUCCEEDED


@pytest.mark.req("R4.3")
def test_nothing_is_taken_while_runners_are_told_to_pause() -> None:
    async def main(clock: Callable[[], float]) -> None:
        rig = Rig()
        rig.queue.clock = clock
        await rig.enqueue(*documents(1))
        allowed = False
        runner = rig.runner(may_take=lambda: allowed)
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(100.0)
        assert (await rig.job()).state is JobState.QUEUED
        allowed = True
        await asyncio.sleep(2.0)
        assert (await rig.job()).state is JobState.SUCCEEDED
        runner.stop()
        await running

    run_virtually(main)


def test_a_runner_outlives_a_database_that_is_away() -> None:
    async def main(clock: Callable[[], float]) -> None:
        rig = Rig()
        rig.queue.clock = clock
        await rig.enqueue(*documents(1))
        rig.queue.error = DependencyUnavailable("database")
        runner = rig.runner()
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(60.0)
        rig.queue.error = None
        await asyncio.sleep(2.0)
        assert (await rig.job()).state is JobState.SUCCEEDED
        runner.stop()
        await running

    run_virtually(main)


async def test_an_announced_job_is_taken_at_once() -> None:
    rig = Rig()
    runner = rig.runner()
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(0)
    await rig.enqueue(*documents(1))
    runner.wake()
    async with asyncio.timeout(0.5):  # less than it looks by itself
        while not (await rig.job()).state.is_finished:
            await asyncio.sleep(0)
    runner.stop()
    await running


def test_items_come_out_of_json_as_they_went_in() -> None:
    error = IngestError("empty", "It must not be empty.", "/text", retryable=True)
    items: list[JobItem] = [
        given('Ä 🗝 "\n', "id", title="t", domain="d", metadata={"year": 2020, "tags": ["a"]}),
        given("no id"),
        IngestOutcome(DocumentId("x"), IngestStatus.FAILED, error=error),
    ]
    assert items_of_json(items_to_json(items)) == items
