"""`/v1/jobs`, and the answer of an ingest that became a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from advanced_rag.api.schemas.base import AnswerModel
from advanced_rag.api.schemas.ingestion import IngestedDocumentAnswer
from advanced_rag.domain.jobs import JobState
from advanced_rag.ports.documents import Page
from advanced_rag.ports.jobs import Job
from advanced_rag.services.jobs import outcomes_of

_EXAMPLE: dict[str, Any] = {
    "id": "j_1f0c",
    "state": "running",
    "progress": {"total": 3, "done": 1, "failed": 0},
    "error": None,
    "created_at": "2026-03-01T09:00:00Z",
    "updated_at": "2026-03-01T09:00:02Z",
}


class JobAcceptedAnswer(AnswerModel):
    """The documents are stored, and a job takes them in: it is done whatever happens to this process."""

    id: str
    state: JobState
    documents: int = Field(description="How many.")
    location: str = Field(description="As in the header `Location`.")
    request_id: str


class JobProgressAnswer(AnswerModel):
    """Counts documents; `done` never falls and includes those that `failed`."""

    total: int
    done: int
    failed: int


class JobAnswer(AnswerModel):
    """A job as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    state: JobState
    progress: JobProgressAnswer
    error: str | None = Field(description="Why it waits.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, job: Job) -> JobAnswer:
        """One job."""
        return cls(**_members(job))


class WholeJobAnswer(JobAnswer):
    """A job with a line for each document that is done, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_EXAMPLE,
                    "documents": [{"id": "keys-2026", "status": "indexed", "version": 1, "chunks": 1}],
                    "request_id": "req-7f1",
                }
            ]
        }
    )

    documents: list[IngestedDocumentAnswer]
    request_id: str

    @classmethod
    def whole(cls, job: Job, *, request_id: str) -> WholeJobAnswer:
        """One job with its results."""
        lines = [IngestedDocumentAnswer.of(position, outcome) for position, outcome in enumerate(outcomes_of(job))]
        return cls(**_members(job), documents=lines, request_id=request_id)


class JobPageAnswer(AnswerModel):
    """A page of jobs, newest first."""

    jobs: list[JobAnswer]
    next_cursor: str | None = Field(description="Opaque; null at the end.")
    request_id: str

    @classmethod
    def of(cls, page: Page[Job], *, request_id: str) -> JobPageAnswer:
        """One page."""
        return cls(jobs=[JobAnswer.of(job) for job in page.items], next_cursor=page.next_cursor, request_id=request_id)


def _members(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state,
        "progress": JobProgressAnswer(total=job.total, done=job.done, failed=job.failed),
        "error": job.error,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
    }
