"""Runs ingest jobs: takes the oldest, goes through it in groups, and gets as far as can be, whoever is killed.

A group's progress is committed with the flip of its documents, under the token of the lease: a runner that was stopped
for longer than its lease makes nothing visible (reliability R6.15). What is away is waited for, without an end; a
document that fails for itself is tried alone and given up after some attempts, and blocks nobody (R6.16).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Final, Protocol

from cachetools import LRUCache

from advanced_rag.domain.documents import DocumentId, Tenant
from advanced_rag.domain.jobs import JobState
from advanced_rag.exceptions import (
    Conflict,
    DeadlineExceeded,
    DependencyError,
    DependencyTimeout,
    DependencyUnavailable,
    LeaseLost,
    LoadShed,
    RAGException,
    SchemaMismatch,
)
from advanced_rag.ports.commits import JobNote, Json
from advanced_rag.ports.jobs import JobLease, JobQueue
from advanced_rag.services.indexing import NoteOfOutcomes, Workers
from advanced_rag.services.ingest_outcome import IngestError, IngestOutcome, IngestStatus
from advanced_rag.services.job_items import JobItem, items_of_json, outcome_to_json
from advanced_rag.services.preparation import GivenDocument
from advanced_rag.telemetry.context import RequestContext, enter_request, leave_request

logger = logging.getLogger(__name__)

# Nothing that a document could help: the job waits until it is over.
AWAY: Final = (LoadShed, DependencyUnavailable, DependencyTimeout, DeadlineExceeded, SchemaMismatch)
_NO_ANSWER: Final = (DependencyError, LoadShed, DeadlineExceeded)
_GIVE_BACK_LIMIT_S: Final = 0.5
_MAX_DOUBLINGS: Final = 16
_REMEMBERED_WAITS: Final = 1_000
_ROUTE: Final = "job"


class Indexing(Protocol):
    """Takes documents in."""

    async def ingest(
        self, tenant: Tenant, documents: Sequence[GivenDocument], *, also: NoteOfOutcomes | None = None
    ) -> list[IngestOutcome]:
        """As `services.indexing`."""
        ...


@dataclass(frozen=True, slots=True)
class JobRunnerValues:
    """What is configured. `documents_per_group` is at most that of indexing: a group is flipped as one."""

    lease_s: float
    heartbeat_s: float
    poll_s: float
    documents_per_group: int
    max_attempts: int
    backoff_base_s: float
    backoff_max_s: float


@dataclass(slots=True)
class _Run:
    """A job under way: what is left of it, and how often the next document has been tried."""

    lease: JobLease
    items: Sequence[JobItem]
    results: list[Json]
    attempts: int
    one_by_one_until: int = 0

    @property
    def next_items(self) -> Sequence[JobItem]:
        return self.items[len(self.results) :]

    @property
    def is_careful(self) -> bool:
        """Whether something in front of us has failed before: then each document goes by itself."""
        return self.attempts > 1 or len(self.results) < self.one_by_one_until

    def note(self, outcomes: Sequence[IngestOutcome]) -> JobNote:
        """Progress, once these are done too."""
        results = [*self.results, *map(outcome_to_json, outcomes)]
        failed = sum(line["status"] == IngestStatus.FAILED.value for line in results)
        state = JobState.RUNNING
        if len(results) == len(self.items):
            state = JobState.FAILED if results and failed == len(results) else JobState.SUCCEEDED
        return JobNote(self.lease.tenant, self.lease.job_id, self.lease.token, results, failed, state)


class JobRunner:
    """One job at a time. Any number of runners, in any number of processes, share a queue.

    `may_take` is asked before each group: while it says no, nothing is begun (reliability R4.3).
    """

    def __init__(
        self,
        queue: JobQueue,
        indexing: Indexing,
        workers: Workers,
        values: JobRunnerValues,
        *,
        may_take: Callable[[], bool] = lambda: True,
        random: Random | None = None,
    ) -> None:
        self._queue = queue
        self._indexing = indexing
        self._workers = workers
        self._values = values
        self._may_take = may_take
        self._random = random or SystemRandom()
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._waits: LRUCache[str, int] = LRUCache(_REMEMBERED_WAITS)

    def wake(self) -> None:
        """There may be a job: look now."""
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing any more; `run` returns when the group under way is done, its job goes back to the queue."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Until `stop` or cancelled."""
        while not self._stopping.is_set():
            try:
                busy = self._may_take() and await self.run_one()
            except _NO_ANSWER as error:
                logger.warning("jobs wait: %s", error)
                busy = False
            except Exception:
                logger.exception("a job runner met a bug")
                busy = False
            if not busy:
                await self._rest()

    async def run_one(self) -> bool:
        """Take a job as far as it goes now; False where none waits. Raises what the queue raises."""
        lease = await self._queue.claim(lease_s=self._values.lease_s)
        if lease is None:
            return False
        token = enter_request(RequestContext(request_id=lease.job_id, route=_ROUTE, tenant=lease.tenant))
        try:
            async with self._beating(lease):
                await self._work(lease)
        except LeaseLost:
            logger.warning("job %s was taken over by another runner", lease.job_id)
        except asyncio.CancelledError:
            await self._give_back(lease)
            raise
        finally:
            leave_request(token)
        return True

    async def _work(self, lease: JobLease) -> None:
        items = await self._workers.run(lambda: items_of_json(lease.input))
        run = _Run(lease, items, list(lease.results), lease.attempts)
        if lease.attempts > 1:  # somewhere in the next group somebody died
            run.one_by_one_until = len(run.results) + self._values.documents_per_group
        if not items:
            await self._queue.record(run.note([]), lease_s=self._values.lease_s)
        while run.next_items:
            await self._pause()
            if self._stopping.is_set():
                await self._queue.defer(lease, delay_s=0.0, reason=None, counted=False)
                return
            if not await self._step(run):
                return
        logger.info("job %s has ended: %d documents", lease.job_id, len(items))

    async def _step(self, run: _Run) -> bool:
        """The next group; whether the job goes on here."""
        group = run.next_items[: 1 if run.is_careful else self._values.documents_per_group]
        if run.attempts > self._values.max_attempts:  # nobody lived to tell why
            return await self._record(run, [_given_up(group[0], "the process ended each time it was taken in")])
        try:
            outcomes = await self._taken_in(run, group)
        except AWAY as error:
            await self._wait_for(run, error)
            return False
        except RAGException as error:
            outcomes = [_failed(item, error.code, str(error)) for item in group]
        except Exception as error:
            logger.exception("a document met a bug")
            outcomes = [_failed(item, "internal", type(error).__name__) for item in group]
        unfinished = _unfinished(group, outcomes)
        if unfinished is None:
            return await self._record(run, outcomes)
        if len(group) > 1:
            run.one_by_one_until = len(run.results) + len(group)
            return True
        if run.attempts >= self._values.max_attempts:
            return await self._record(run, outcomes)
        await self._defer(run, delay_s=self._backoff_s(run.attempts - 1), reason=unfinished.message, counted=True)
        return False

    async def _taken_in(self, run: _Run, group: Sequence[JobItem]) -> list[IngestOutcome]:
        given = [item for item in group if isinstance(item, GivenDocument)]

        def placed(outcomes: Sequence[IngestOutcome]) -> list[IngestOutcome]:
            taken = iter(outcomes)
            return [next(taken) if isinstance(item, GivenDocument) else item for item in group]

        if not given:
            return placed([])
        tenant = run.lease.tenant
        return placed(await self._indexing.ingest(tenant, given, also=lambda outcomes: run.note(placed(outcomes))))

    async def _record(self, run: _Run, outcomes: Sequence[IngestOutcome]) -> bool:
        """Whether the job goes on. What was committed with a flip already is not changed by this."""
        note = run.note(outcomes)
        state = await self._queue.record(note, lease_s=self._values.lease_s)
        run.results, run.attempts = list(note.results), 1
        self._waits.pop(run.lease.job_id, None)
        return state is JobState.RUNNING

    async def _wait_for(self, run: _Run, error: RAGException) -> None:
        waits = self._waits.get(run.lease.job_id, 0)
        self._waits[run.lease.job_id] = waits + 1
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        delay_s = max(self._backoff_s(waits), min(asked_s, self._values.backoff_max_s))
        logger.warning("job %s waits %.1f s: %s", run.lease.job_id, delay_s, error)
        await self._defer(run, delay_s=delay_s, reason=str(error), counted=False)

    async def _defer(self, run: _Run, *, delay_s: float, reason: str, counted: bool) -> None:
        await self._queue.defer(run.lease, delay_s=delay_s, reason=reason, counted=counted)

    def _backoff_s(self, waits: int) -> float:
        ceiling_s = min(self._values.backoff_max_s, self._values.backoff_base_s * 2.0 ** min(waits, _MAX_DOUBLINGS))
        return ceiling_s * self._random.uniform(0.5, 1.0)

    async def _give_back(self, lease: JobLease) -> None:
        """Best effort: otherwise the lease ends by itself."""
        limit = asyncio.timeout(_GIVE_BACK_LIMIT_S)
        try:
            async with limit:
                await self._queue.defer(lease, delay_s=0.0, reason=None, counted=False)
        except (TimeoutError, Conflict, *_NO_ANSWER) as error:
            logger.warning("job %s could not be given back: %s", lease.job_id, error)

    @asynccontextmanager
    async def _beating(self, lease: JobLease) -> AsyncIterator[None]:
        heart = asyncio.create_task(self._beat(lease), name=f"heartbeat-{lease.job_id}")
        try:
            yield
        finally:
            heart.cancel()
            await asyncio.wait([heart])

    async def _beat(self, lease: JobLease) -> None:
        """Until the lease is not ours: then the group under way finds out when it is to be recorded."""
        ours = True
        while ours:
            await asyncio.sleep(self._values.heartbeat_s)
            try:
                ours = await self._queue.heartbeat(lease, lease_s=self._values.lease_s)
            except _NO_ANSWER as error:
                logger.warning("no heartbeat of job %s: %s", lease.job_id, error)

    async def _pause(self) -> None:
        while not self._may_take() and not self._stopping.is_set():
            await self._rest()

    async def _rest(self) -> None:
        self._woken.clear()
        if self._stopping.is_set():
            return
        limit = asyncio.timeout(self._values.poll_s)
        try:
            async with limit:
                await self._woken.wait()
        except TimeoutError:
            if not limit.expired():
                raise


def _unfinished(group: Sequence[JobItem], outcomes: Sequence[IngestOutcome]) -> IngestError | None:
    """The first failure that another attempt may not meet: a refused field (`loc`) would be refused again."""
    for item, outcome in zip(group, outcomes, strict=True):
        if isinstance(item, GivenDocument) and outcome.error is not None and outcome.error.loc is None:
            return outcome.error
    return None


def _failed(item: JobItem, code: str, message: str) -> IngestOutcome:
    return IngestOutcome(
        DocumentId(item.id or ""), IngestStatus.FAILED, error=IngestError(code, message, retryable=True)
    )


def _given_up(item: JobItem, message: str) -> IngestOutcome:
    return item if isinstance(item, IngestOutcome) else _failed(item, "internal", message)
