"""Jobs on a real SQLite file: a runner is abandoned in the middle, another one finishes its job, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.document_reader import SqlDocumentReader
from advanced_rag.adapters.sql.document_store import SqlDocumentStore
from advanced_rag.adapters.sql.idempotency_store import SqlIdempotencyStore
from advanced_rag.adapters.sql.job_store import SqlJobQueue, SqlJobStore
from advanced_rag.domain.documents import DocumentId
from advanced_rag.domain.jobs import JobState
from advanced_rag.exceptions import KeyInProgress
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import KeyClaim, KeyedRequest
from advanced_rag.services.idempotency import IdempotencyService
from advanced_rag.services.job_runner import JobRunner, JobRunnerValues
from advanced_rag.services.jobs import JobsService, outcomes_of
from tests.fakes.services import ACME, FakeServices, InlineWorkers, given
from tests.integration.databases import migrated_sqlite, opened_pool

SHORT_LEASE = JobRunnerValues(
    lease_s=0.2,
    heartbeat_s=60.0,
    poll_s=0.05,
    documents_per_group=2,
    max_attempts=3,
    backoff_base_s=0.01,
    backoff_max_s=0.05,
)


class Stopping:
    """A document store whose `activate` stops once, before or after its transaction, until told to go on."""

    def __init__(self, inner: SqlDocumentStore, *, at_flip: int, after: bool) -> None:
        self._inner = inner
        self._at_flip = at_flip
        self._after = after
        self._flips = 0
        self.reached, self.goes_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def activate(self, *args: Any, **kwargs: Any) -> Any:
        self._flips += 1
        stops = self._flips == self._at_flip
        if stops and not self._after:
            await self._stop()
        flipped = await self._inner.activate(*args, **kwargs)
        if stops and self._after:
            await self._stop()
        return flipped

    async def _stop(self) -> None:
        self.reached.set()
        await self.goes_on.wait()


def services_on(pool: DbPool, store: Any = None) -> FakeServices:
    """Indexing over fake indexes and the real store; both runners write to the same indexes."""
    services = FakeServices()
    object.__setattr__(services.indexing, "store", store or SqlDocumentStore(pool))
    return services


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[DbPool]:
    async with opened_pool(await migrated_sqlite(tmp_path)) as opened:
        yield opened


@pytest.mark.req("R6.3", "R6.15", "K3", "K8")
@pytest.mark.parametrize("after", [False, True], ids=["before the flip", "after the flip"])
async def test_an_abandoned_job_is_finished_once_by_another_runner(pool: DbPool, after: bool) -> None:
    jobs = JobsService(SqlJobStore(pool), InlineWorkers(), look_interval_s=0.02)
    documents = [given(f"Document number {number}.", f"d{number}") for number in range(6)]
    await jobs.enqueue(ACME, "j1", documents)
    stopping = Stopping(SqlDocumentStore(pool), at_flip=2, after=after)
    stopped_services = services_on(pool, stopping)
    queue = SqlJobQueue(pool)
    stopped = JobRunner(queue, stopped_services.indexing, InlineWorkers(), SHORT_LEASE)
    running = asyncio.create_task(stopped.run_one())
    await stopping.reached.wait()
    done_before = (await jobs.job(ACME, "j1")).done
    assert done_before == (4 if after else 2)  # what was flipped is recorded, in the same transaction

    other = JobRunner(queue, services_on(pool).indexing, InlineWorkers(), SHORT_LEASE)
    taking_over = asyncio.create_task(other.run())
    ended = await jobs.ended(ACME, "j1", limit_s=10.0)
    assert ended is not None
    stopping.goes_on.set()  # the first one goes on, as after a SIGCONT
    assert await running
    other.stop()
    await taking_over

    final = await jobs.job(ACME, "j1")
    assert final == ended
    assert (final.state, final.done, final.failed) == (JobState.SUCCEEDED, 6, 0)
    reader = SqlDocumentReader(pool)
    for outcome in outcomes_of(final):
        found = await reader.document(ACME, DocumentId(outcome.id))
        assert found is not None
        assert found[0].version == outcome.version


@pytest.mark.req("R6.5", "K7")
async def test_a_hundred_requests_with_one_key_are_one_execution(pool: DbPool) -> None:
    services = services_on(pool)
    keys = IdempotencyService(SqlIdempotencyStore(pool), lease_s=60.0, renew_s=20.0, keep_s=86_400.0)
    request = KeyedRequest(ACME, "/v1/ingest", "k", "f")
    executed = 0

    async def execute(claim: KeyClaim) -> KeptAnswer:
        nonlocal executed
        executed += 1

        def kept(outcomes: Any) -> KeptAnswer:
            return claim.kept(200, {}, ",".join(outcome.status for outcome in outcomes))

        document = given("The keys hang in cabinet B.", "keys")
        return kept(await services.indexing.ingest(ACME, [document], also=kept))

    results = await asyncio.gather(*(keys.once(request, execute) for _ in range(100)), return_exceptions=True)
    assert executed == 1
    answers = [result[0].body for result in results if isinstance(result, tuple)]
    assert set(answers) == {"indexed"}
    assert all(isinstance(result, tuple | KeyInProgress) for result in results)
    assert (await keys.once(request, execute))[1] is True
    assert executed == 1
