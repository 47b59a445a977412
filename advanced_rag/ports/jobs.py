"""Ports to ingest jobs. Errors as in `ports.documents`; another tenant's job does not exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from advanced_rag.domain.documents import Tenant
from advanced_rag.domain.jobs import JobState
from advanced_rag.ports.commits import JobNote, Json, KeptAnswer
from advanced_rag.ports.documents import Page


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `done` counts documents that are finished, those that `failed` included.

    `error` says why it waits or why it failed as a whole. `results` is empty in a listing.
    """

    id: str
    state: JobState
    total: int
    done: int
    failed: int
    results: Sequence[Json]
    error: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class JobLease:
    """A job that is ours until its lease ends; `token` is larger than that of any lease before.

    `attempts` counts the leases, this one included, since a document was last finished. `input` is JSON text.
    """

    tenant: Tenant
    job_id: str
    token: int
    attempts: int
    input: str
    results: Sequence[Json]


class JobStore(Protocol):
    """Jobs as their tenant sees them."""

    async def enqueue(
        self, tenant: Tenant, job_id: str, *, documents: str, total: int, answer: KeptAnswer | None = None
    ) -> Job:
        """Store a job with its whole input (JSON text, opaque here) and the answer under its key: both or neither.

        Raises Conflict for an id that there is.
        """
        ...

    async def job(self, tenant: Tenant, job_id: str) -> Job | None:
        """One job with its results."""
        ...

    async def jobs(self, tenant: Tenant, *, limit: int, cursor: str | None = None) -> Page[Job]:
        """Newest first. Raises ValidationError (`/cursor`) for a cursor that is not ours."""
        ...

    async def cancel(self, tenant: Tenant, job_id: str) -> Job | None:
        """Cancelled from now on, unless it is finished; as it stands then. A group under way is still recorded."""
        ...


class JobQueue(Protocol):
    """Jobs as a runner sees them, of all tenants. The database's clock decides about leases."""

    async def claim(self, *, lease_s: float) -> JobLease | None:
        """The oldest job that waits or whose runner's lease has ended; of several that ask at once one gets it."""
        ...

    async def heartbeat(self, lease: JobLease, *, lease_s: float) -> bool:
        """The lease lasts `lease_s` from now. False where it is not ours any more, or the job was cancelled."""
        ...

    async def record(self, note: JobNote, *, lease_s: float) -> JobState:
        """Commit progress, the lease going on; the job's state then: `cancelled` where somebody cancelled it meanwhile.

        Raises LeaseLost where the lease is not ours any more. Repeating the same note changes nothing.
        """
        ...

    async def defer(self, lease: JobLease, *, delay_s: float, reason: str | None, counted: bool) -> None:
        """Give the job back, to be claimed again after `delay_s`. Not `counted`: this lease was no attempt.

        Changes nothing where the lease is not ours any more.
        """
        ...

    async def expire(self, *, retention_s: float, limit: int) -> int:
        """Forget up to `limit` finished jobs that have not changed for that long; how many."""
        ...
