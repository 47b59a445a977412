"""Ingest jobs as their tenant sees them: given, watched, cancelled."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from advanced_rag.domain.documents import Tenant
from advanced_rag.domain.jobs import JobState
from advanced_rag.exceptions import Conflict, NotFound
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.documents import Page
from advanced_rag.ports.jobs import Job, JobStore
from advanced_rag.ports.storage import StorageRoom, UnlimitedRoom
from advanced_rag.services.indexing import Workers
from advanced_rag.services.ingest_outcome import IngestOutcome
from advanced_rag.services.job_items import JobItem, items_to_json, outcome_of_json


def new_job_id() -> str:
    """An id that no job has."""
    return f"j_{uuid.uuid4().hex}"


def outcomes_of(job: Job) -> list[IngestOutcome]:
    """Those of the documents that are done, in the order of the request."""
    return [outcome_of_json(line) for line in job.results]


@dataclass(frozen=True, slots=True)
class JobsService:
    """Jobs of a tenant. `announce` tells the runners of this process that there is one."""

    store: JobStore
    workers: Workers
    look_interval_s: float
    announce: Callable[[], None] = lambda: None
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    room: StorageRoom = field(default_factory=UnlimitedRoom)

    async def enqueue(
        self, tenant: Tenant, job_id: str, items: Sequence[JobItem], *, answer: KeptAnswer | None = None
    ) -> Job:
        """Once this returns the job is stored with its whole input, and the answer under its key with it.

        Raises InsufficientStorage before anything is written.
        """

        def documents_to_store() -> str:
            self.room.require()
            return items_to_json(items)

        documents = await self.workers.run(documents_to_store)
        job = await self.store.enqueue(tenant, job_id, documents=documents, total=len(items), answer=answer)
        self.announce()
        return job

    async def job(self, tenant: Tenant, job_id: str) -> Job:
        """As it stands. Raises NotFound."""
        job = await self.store.job(tenant, job_id)
        if job is None:
            raise NotFound("There is no such job.")
        return job

    async def jobs(self, tenant: Tenant, *, limit: int, cursor: str | None = None) -> Page[Job]:
        """A page of them, newest first, without results."""
        return await self.store.jobs(tenant, limit=limit, cursor=cursor)

    async def cancel(self, tenant: Tenant, job_id: str) -> Job:
        """Nothing more of it is begun. Raises NotFound; Conflict where it has ended otherwise."""
        job = await self.store.cancel(tenant, job_id)
        if job is None:
            raise NotFound("There is no such job.")
        if job.state is not JobState.CANCELLED:
            raise Conflict(f"The job has ended already: it has {job.state.value}.")
        return job

    async def watch(self, tenant: Tenant, job_id: str) -> AsyncIterator[Job]:
        """The job at every look, changed or not, until its end or until this process is draining. Raises NotFound."""
        while not self.draining.is_set():
            job = await self.job(tenant, job_id)
            yield job
            if job.state.is_finished:
                return
            await self._look_again()

    async def ended(self, tenant: Tenant, job_id: str, *, limit_s: float) -> Job | None:
        """The job if it ends within that time."""
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                async for job in self.watch(tenant, job_id):
                    if job.state.is_finished:
                        return job
        except TimeoutError:
            if not limit.expired():
                raise
        return None

    async def _look_again(self) -> None:
        limit = asyncio.timeout(self.look_interval_s)
        try:
            async with limit:
                await self.draining.wait()
        except TimeoutError:
            if not limit.expired():
                raise
