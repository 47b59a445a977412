"""Ingest jobs: what their tenants see, and the queue that runners take from.

A lease is `lease_until` and `token` of a row: a runner that was stopped longer than its lease finds another token, and
nothing that it still writes is taken (reliability R6.15). A job that waits has a `lease_until` and nobody's token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import JSON, Text, and_, bindparam, case, cast, delete, insert, literal, or_, select, tuple_
from sqlalchemy import update as sql_update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from advanced_rag.adapters.sql.column_types import AnyRow, Instant, database_now, seconds_from_now
from advanced_rag.adapters.sql.cursors import decoded_cursor, encoded_cursor
from advanced_rag.adapters.sql.db_pool import DbPool
from advanced_rag.adapters.sql.idempotency_store import keep_answer
from advanced_rag.adapters.sql.storable import is_storable, refuse_unstorable
from advanced_rag.adapters.sql.tables import ingest_jobs
from advanced_rag.domain.documents import Tenant
from advanced_rag.domain.jobs import JobState
from advanced_rag.exceptions import LeaseLost
from advanced_rag.ports.commits import JobNote, Json, KeptAnswer
from advanced_rag.ports.documents import Page
from advanced_rag.ports.jobs import Job, JobLease

_CURSOR: Final = "jobs"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NO_RESULTS: Final[Sequence[Json]] = ()
_NO_INPUT: Final = "[]"
_WAITING: Final = (JobState.QUEUED.value, JobState.RUNNING.value)
_FINISHED: Final = tuple(state.value for state in JobState if state.is_finished)
_j = ingest_jobs.c


class _JsonText(FunctionElement[Any]):
    """JSON that is text already: to write and to read megabytes of it here would hold the event loop."""

    type = JSON()
    inherit_cache = True


@compiles(_JsonText, "postgresql")
def _json_on_postgres(element: _JsonText, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = element.clauses
    return f"CAST({compiler.process(text, **options)} AS JSON)"


@compiles(_JsonText, "sqlite")
def _json_on_sqlite(element: _JsonText, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = element.clauses
    return compiler.process(text, **options)


@dataclass(frozen=True, slots=True)
class SqlJobStore:
    """`ports.jobs.JobStore`. Each method is one transaction."""

    pool: DbPool

    async def enqueue(
        self, tenant: Tenant, job_id: str, *, documents: str, total: int, answer: KeptAnswer | None = None
    ) -> Job:
        """Store a job with its whole input, and the answer under its key with it."""
        refuse_unstorable(identifiers={"/tenant": tenant, "/id": job_id})
        statement = insert(ingest_jobs).values(
            tenant=tenant,
            id=job_id,
            state=JobState.QUEUED.value,
            input=_json_text(documents),
            documents_total=total,
            documents_done=0,
            documents_failed=0,
            attempts=0,
            token=0,
            created_at=database_now(),
            updated_at=database_now(),
        )
        async with self.pool.write() as connection:
            row = (await connection.execute(statement.returning(*_SHOWN))).one()
            if answer is not None:
                await keep_answer(connection, answer)
        return _job(row, _NO_RESULTS)

    async def job(self, tenant: Tenant, job_id: str) -> Job | None:
        """One job with its results."""
        if not is_storable(job_id):
            return None
        statement = select(*_SHOWN, _j.results).where(*_is_job(tenant, job_id))
        async with self.pool.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _job(row, row.results or _NO_RESULTS)

    async def jobs(self, tenant: Tenant, *, limit: int, cursor: str | None = None) -> Page[Job]:
        """Newest first."""
        statement = select(*_SHOWN).where(_j.tenant == tenant).order_by(_j.created_at.desc(), _j.id.desc())
        if cursor is not None:
            microseconds, last_id = decoded_cursor(_CURSOR, cursor, (int, str))
            last = tuple_(literal(_moment(microseconds), Instant()), literal(last_id, _j.id.type))
            statement = statement.where(tuple_(_j.created_at, _j.id) < last)
        async with self.pool.read() as connection:
            rows = (await connection.execute(statement.limit(limit + 1))).all()
        items = tuple(_job(row, _NO_RESULTS) for row in rows[:limit])
        if len(rows) <= limit or not items:
            return Page(items, None)
        position = ((items[-1].created_at - _EPOCH) // _MICROSECOND, items[-1].id)
        return Page(items, encoded_cursor(_CURSOR, position))

    async def cancel(self, tenant: Tenant, job_id: str) -> Job | None:
        """Cancelled, unless it is finished."""
        if not is_storable(job_id):
            return None
        statement = (
            sql_update(ingest_jobs)
            .where(*_is_job(tenant, job_id), _j.state.in_(_WAITING))
            .values(state=JobState.CANCELLED.value, input=_json_text(_NO_INPUT), lease_until=None, error=None)
        )
        async with self.pool.write() as connection:
            await connection.execute(statement.values(updated_at=database_now()))
        return await self.job(tenant, job_id)


@dataclass(frozen=True, slots=True)
class SqlJobQueue:
    """`ports.jobs.JobQueue`. Each method is one transaction."""

    pool: DbPool

    async def claim(self, *, lease_s: float) -> JobLease | None:
        """The oldest job that waits. On Postgres rows that others are just taking are passed over."""
        async with self.pool.read() as connection:  # most looks find nothing: they should not queue up as writers
            if (await connection.execute(_oldest_waiting())).one_or_none() is None:
                return None
        statement = (
            sql_update(ingest_jobs)
            .where(tuple_(_j.tenant, _j.id).in_(_oldest_waiting().with_for_update(skip_locked=True)))
            .values(
                state=JobState.RUNNING.value,
                token=_j.token + 1,
                attempts=_j.attempts + 1,
                lease_until=seconds_from_now(lease_s),
                updated_at=database_now(),
            )
            .returning(_j.tenant, _j.id, _j.token, _j.attempts, _j.results, cast(_j.input, Text).label("text"))
        )
        async with self.pool.write() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        return JobLease(row.tenant, row.id, row.token, row.attempts, row.text, row.results or _NO_RESULTS)

    async def heartbeat(self, lease: JobLease, *, lease_s: float) -> bool:
        """The lease lasts that long from now."""
        statement = sql_update(ingest_jobs).where(_is_ours(lease)).values(lease_until=seconds_from_now(lease_s))
        async with self.pool.write() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def record(self, note: JobNote, *, lease_s: float) -> JobState:
        """Commit progress."""
        async with self.pool.write() as connection:
            return await record_progress(connection, note, lease_s=lease_s)

    async def defer(self, lease: JobLease, *, delay_s: float, reason: str | None, counted: bool) -> None:
        """Give the job back."""
        statement = (
            sql_update(ingest_jobs)
            .where(_is_ours(lease))
            .values(
                state=JobState.QUEUED.value,
                lease_until=seconds_from_now(delay_s),
                error=reason,
                attempts=_j.attempts if counted else _j.attempts - 1,
                updated_at=database_now(),
            )
        )
        async with self.pool.write() as connection:
            await connection.execute(statement)

    async def expire(self, *, retention_s: float, limit: int) -> int:
        """Forget finished jobs."""
        old = (
            select(_j.tenant, _j.id)
            .where(_j.state.in_(_FINISHED), _j.updated_at < seconds_from_now(-retention_s))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with self.pool.write() as connection:
            gone = await connection.execute(delete(ingest_jobs).where(tuple_(_j.tenant, _j.id).in_(old)))
        return gone.rowcount


async def record_progress(connection: AsyncConnection, note: JobNote, *, lease_s: float | None = None) -> JobState:
    """Write a note within somebody's transaction. A job that was cancelled meanwhile stays so.

    Raises:
        LeaseLost: the token is not the job's any more, or the job has got further than the note says.
    """
    is_new = or_(_j.documents_done != len(note.results), _j.state != note.state.value)
    values: dict[str, Any] = {
        "state": case((_j.state == JobState.CANCELLED.value, _j.state), else_=note.state.value),
        "results": list(note.results),
        "documents_done": len(note.results),
        "documents_failed": note.failed,
        "error": None,
        "attempts": 1,
        "updated_at": case((is_new, database_now()), else_=_j.updated_at),
    }
    if note.state.is_finished:
        values |= {"input": _json_text(_NO_INPUT), "lease_until": None}
    elif lease_s is not None:
        values["lease_until"] = case(
            (_j.state == JobState.RUNNING.value, seconds_from_now(lease_s)), else_=_j.lease_until
        )
    goes_on = _j.state.in_((JobState.RUNNING.value, JobState.CANCELLED.value))
    statement = (
        sql_update(ingest_jobs)
        .where(
            *_is_job(note.tenant, note.job_id),
            _j.token == note.token,
            _j.documents_done <= len(note.results),
            or_(goes_on, _j.state == note.state.value),  # the latter: this very note was written before
        )
        .values(values)
        .returning(_j.state)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise LeaseLost("the job has been taken over")
    return JobState(row.state)


def _oldest_waiting() -> Any:
    return (
        select(_j.tenant, _j.id)
        .where(_j.state.in_(_WAITING), or_(_j.lease_until.is_(None), _j.lease_until <= seconds_from_now(0)))
        .order_by(_j.created_at)
        .limit(1)
    )


def _json_text(text: str) -> _JsonText:
    return _JsonText(bindparam(None, text, type_=Text(), unique=True))


def _is_job(tenant: Tenant, job_id: str) -> tuple[Any, ...]:
    return (_j.tenant == tenant, _j.id == job_id)


def _is_ours(lease: JobLease) -> Any:
    return and_(*_is_job(lease.tenant, lease.job_id), _j.token == lease.token, _j.state == JobState.RUNNING.value)


def _moment(microseconds: str | int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        return _EPOCH


def _job(row: AnyRow, results: Sequence[Json]) -> Job:
    return Job(
        id=row.id,
        state=JobState(row.state),
        total=row.documents_total,
        done=row.documents_done,
        failed=row.documents_failed,
        results=results,
        error=row.error,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


_SHOWN: Final = (
    _j.id,
    _j.state,
    _j.documents_total,
    _j.documents_done,
    _j.documents_failed,
    _j.error,
    _j.created_at,
    _j.updated_at,
)
