"""How `POST /v1/ingest` answers: at once with what became of each document, or with a job (RFC 7240)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from advanced_rag.api.idempotency import kept_answer
from advanced_rag.api.preferences import PREFER, RESPOND_ASYNC, Preferences
from advanced_rag.api.schemas.base import AnswerModel
from advanced_rag.api.schemas.ingestion import CheckedBatch
from advanced_rag.api.schemas.jobs import JobAcceptedAnswer
from advanced_rag.api.state import ApiState
from advanced_rag.domain.documents import Tenant
from advanced_rag.domain.jobs import JobState
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.idempotency import KeyClaim
from advanced_rag.resilience.deadline import remaining_s
from advanced_rag.services.ingest_outcome import IngestOutcome
from advanced_rag.services.jobs import new_job_id, outcomes_of

JOBS_PATH: Final = "/v1/jobs"
_POLL_HINT_S: Final = 1
_ANSWER_MARGIN_S: Final = 1.0  # of the deadline, left to answer in after the wait for a job


@dataclass(frozen=True, slots=True)
class IngestAnswers:
    """One request's answer."""

    tenant: Tenant
    state: ApiState
    preferences: Preferences
    request_id: str

    async def answer(self, documents: Sequence[Any], claim: KeyClaim | None) -> Response:
        """Raises ValidationError if not one document passes."""
        batch = await self.state.executor.run(partial(CheckedBatch.of, documents))
        if self.preferences.respond_async:
            return await self._later(batch, claim)
        return await self._now(batch, claim)

    async def _now(self, batch: CheckedBatch, claim: KeyClaim | None) -> Response:
        def kept(outcomes: Sequence[IngestOutcome], claim: KeyClaim) -> KeptAnswer:
            return kept_answer(claim, self._lines(batch, outcomes))

        also = None if claim is None else partial(kept, claim=claim)
        return self._lines(batch, await self.state.services.indexing.ingest(self.tenant, batch.given, also=also))

    async def _later(self, batch: CheckedBatch, claim: KeyClaim | None) -> Response:
        job_id = new_job_id()
        accepted = self._accepted(job_id, batch.size)
        # With a key the 202 is what is kept, and what a repeat gets, whether or not this request can wait for the end.
        kept = None if claim is None else kept_answer(claim, accepted)
        jobs = self.state.services.jobs
        await jobs.enqueue(self.tenant, job_id, batch.items(), answer=kept)
        wait_s = min(self.preferences.wait_s or 0.0, remaining_s() - _ANSWER_MARGIN_S)
        ended = await jobs.ended(self.tenant, job_id, limit_s=wait_s) if wait_s > 0 else None
        if ended is None or ended.state is not JobState.SUCCEEDED:
            return accepted
        given = [outcome for position, outcome in enumerate(outcomes_of(ended)) if position not in batch.refused]
        return self._lines(batch, given)

    def _lines(self, batch: CheckedBatch, outcomes: Sequence[IngestOutcome]) -> Response:
        return _json(batch.answer(outcomes, request_id=self.request_id))

    def _accepted(self, job_id: str, total: int) -> Response:
        location = f"{JOBS_PATH}/{job_id}"
        answer = JobAcceptedAnswer(
            id=job_id, state=JobState.QUEUED, documents=total, location=location, request_id=self.request_id
        )
        response = _json(answer, HTTPStatus.ACCEPTED)
        response.headers["Location"] = location
        response.headers["Preference-Applied"] = RESPOND_ASYNC
        response.headers["Retry-After"] = str(_POLL_HINT_S)
        return response


def _json(answer: AnswerModel, status: int = HTTPStatus.OK) -> Response:
    content = answer.model_dump_json(exclude_unset=True)
    return Response(content, status, {"Vary": PREFER}, media_type="application/json")
