"""Jobs in memory; passes the contract of the real ones. Its clock stands for the database's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from advanced_rag.domain.documents import Tenant
from advanced_rag.domain.jobs import JobState
from advanced_rag.exceptions import Conflict, LeaseLost, ValidationError
from advanced_rag.ports.commits import JobNote, Json, KeptAnswer
from advanced_rag.ports.documents import Page
from advanced_rag.ports.jobs import Job, JobLease
from tests.fakes.storable import refuse_unstorable

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Row:
    tenant: Tenant
    id: str
    input: str
    total: int
    sequence: int
    updated: float
    state: JobState = JobState.QUEUED
    results: Sequence[Json] = ()
    failed: int = 0
    error: str | None = None
    attempts: int = 0
    token: int = 0
    lease_until: float | None = None


@dataclass(slots=True)
class FakeJobStore:
    """Both ports: JobStore and JobQueue. While `error` is set every call raises it."""

    clock: Callable[[], float] = time.monotonic
    keep_answer: Callable[[KeptAnswer], object] = lambda _: None
    error: Exception | None = None
    rows: dict[tuple[Tenant, str], _Row] = field(default_factory=dict)

    async def enqueue(
        self, tenant: Tenant, job_id: str, *, documents: str, total: int, answer: KeptAnswer | None = None
    ) -> Job:
        self._answer()
        refuse_unstorable({"/tenant": tenant, "/id": job_id})
        if (tenant, job_id) in self.rows:
            raise Conflict("there is such a job")
        row = _Row(tenant, job_id, documents, total, len(self.rows), self.clock())
        self.rows[tenant, job_id] = row
        if answer is not None:
            self.keep_answer(answer)
        return _job(row)

    async def job(self, tenant: Tenant, job_id: str) -> Job | None:
        self._answer()
        row = self.rows.get((tenant, job_id))
        return None if row is None else _job(row)

    async def jobs(self, tenant: Tenant, *, limit: int, cursor: str | None = None) -> Page[Job]:
        self._answer()
        if cursor is not None and not cursor.startswith("before:"):
            raise ValidationError.of("/cursor", "invalid", "is not a cursor of this listing")
        before = float("inf") if cursor is None else int(cursor.removeprefix("before:"))
        rows = [row for row in self.rows.values() if row.tenant == tenant and row.sequence < before]
        rows.sort(key=lambda row: -row.sequence)
        items = tuple(replace(_job(row), results=()) for row in rows[:limit])
        return Page(items, f"before:{rows[limit - 1].sequence}" if len(rows) > limit else None)

    async def cancel(self, tenant: Tenant, job_id: str) -> Job | None:
        self._answer()
        row = self.rows.get((tenant, job_id))
        if row is None:
            return None
        if not row.state.is_finished:
            row.state, row.input, row.lease_until, row.error = JobState.CANCELLED, "[]", None, None
            row.updated = self.clock()
        return _job(row)

    async def claim(self, *, lease_s: float) -> JobLease | None:
        self._answer()
        now = self.clock()
        for row in sorted(self.rows.values(), key=lambda row: row.sequence):
            if not row.state.is_finished and (row.lease_until is None or row.lease_until <= now):
                row.state, row.lease_until = JobState.RUNNING, now + lease_s
                row.token += 1
                row.attempts += 1
                return JobLease(row.tenant, row.id, row.token, row.attempts, row.input, row.results)
        return None

    async def heartbeat(self, lease: JobLease, *, lease_s: float) -> bool:
        self._answer()
        row = self._ours(lease)
        if row is not None:
            row.lease_until = self.clock() + lease_s
        return row is not None

    async def record(self, note: JobNote, *, lease_s: float) -> JobState:
        self._answer()
        state = self.write_note(note)
        row = self.rows[note.tenant, note.job_id]
        if row.state is JobState.RUNNING:
            row.lease_until = self.clock() + lease_s
        return state

    def write_note(self, note: JobNote) -> JobState:
        """As within somebody's transaction."""
        row = self.rows.get((note.tenant, note.job_id))
        goes_on = row is not None and (row.state in (JobState.RUNNING, JobState.CANCELLED) or row.state is note.state)
        if row is None or row.token != note.token or not goes_on or len(row.results) > len(note.results):
            raise LeaseLost("the job has been taken over")
        row.results, row.failed, row.attempts, row.error = tuple(note.results), note.failed, 1, None
        row.updated = self.clock()
        if row.state is not JobState.CANCELLED:
            row.state = note.state
        if row.state.is_finished:
            row.input, row.lease_until = "[]", None
        return row.state

    async def defer(self, lease: JobLease, *, delay_s: float, reason: str | None, counted: bool) -> None:
        self._answer()
        row = self._ours(lease)
        if row is not None:
            row.state, row.error, row.lease_until = JobState.QUEUED, reason, self.clock() + delay_s
            row.attempts -= not counted

    async def expire(self, *, retention_s: float, limit: int) -> int:
        self._answer()
        until = self.clock() - retention_s
        old = [key for key, row in self.rows.items() if row.state.is_finished and row.updated < until][:limit]
        for key in old:
            del self.rows[key]
        return len(old)

    def _ours(self, lease: JobLease) -> _Row | None:
        row = self.rows.get((lease.tenant, lease.job_id))
        return row if row is not None and row.token == lease.token and row.state is JobState.RUNNING else None

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error


def _job(row: _Row) -> Job:
    created = _EPOCH + timedelta(seconds=row.sequence)
    updated = _EPOCH + timedelta(seconds=row.updated)
    return Job(row.id, row.state, row.total, len(row.results), row.failed, row.results, row.error, created, updated)
