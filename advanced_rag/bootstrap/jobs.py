"""Ingest jobs and idempotency keys: their services, and the runners of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from advanced_rag.bootstrap.database import Database
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.config import Settings
from advanced_rag.constants import SECONDS_PER_DAY
from advanced_rag.services.expiry import ExpiryService
from advanced_rag.services.idempotency import IdempotencyService
from advanced_rag.services.indexing import IndexingService
from advanced_rag.services.job_runner import JobRunner, JobRunnerValues
from advanced_rag.services.jobs import JobsService

_RENEWALS_A_LEASE: Final = 3
_STOP_GRACE_S: Final = 3.0  # reliability R7.2: what a group under way is given to end by itself


@dataclass(frozen=True, slots=True)
class JobParts:
    """What the API calls, and what runs beside it."""

    jobs: JobsService
    keys: IdempotencyService
    runners: tuple[JobRunner, ...]
    expiry: ExpiryService

    def drain(self) -> None:
        """Take no work any more, and end the streams of progress: their clients come back elsewhere (R7.2, R7.4)."""
        self.jobs.draining.set()
        for runner in self.runners:
            runner.stop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The runners at work; at the end their jobs go back to the queue."""
        tasks = [
            asyncio.create_task(runner.run(), name=f"job-runner-{number}")
            for number, runner in enumerate(self.runners, start=1)
        ]
        expiry = asyncio.create_task(self.expiry.run(), name="expiry")
        try:
            yield
        finally:
            self.drain()
            expiry.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_STOP_GRACE_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, expiry, return_exceptions=True)


def build_jobs(settings: Settings, database: Database, indexing: IndexingService, workers: AsyncExecutor) -> JobParts:
    """Made from the settings; nothing runs before `running`."""
    jobs, idempotency = settings.jobs, settings.idempotency
    values = JobRunnerValues(
        lease_s=jobs.lease_s,
        heartbeat_s=jobs.heartbeat_s,
        poll_s=jobs.poll_s,
        documents_per_group=settings.ingest.documents_per_group,
        max_attempts=jobs.max_attempts,
        backoff_base_s=jobs.backoff_base_s,
        backoff_max_s=jobs.backoff_max_s,
    )
    runners = tuple(JobRunner(database.job_queue, indexing, workers, values) for _ in range(jobs.runners))

    def announce() -> None:
        for runner in runners:
            runner.wake()

    return JobParts(
        jobs=JobsService(
            database.jobs, workers, look_interval_s=jobs.look_interval_s, announce=announce, room=indexing.room
        ),
        keys=IdempotencyService(
            store=database.keys,
            lease_s=idempotency.lease_s,
            renew_s=idempotency.lease_s / _RENEWALS_A_LEASE,
            keep_s=idempotency.keep_s,
        ),
        runners=runners,
        expiry=ExpiryService(
            jobs=database.job_queue,
            keys=database.keys,
            keep_jobs_s=jobs.retention_days * float(SECONDS_PER_DAY),
            keep_keys_s=idempotency.keep_s,
            batch=settings.ingest.sweep_batch,
            interval_s=settings.ingest.sweep_interval_s,
        ),
    )
