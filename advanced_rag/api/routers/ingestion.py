"""`POST /v1/ingest`."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from advanced_rag.api.dependencies import Context, CurrentState, CurrentTenant
from advanced_rag.api.idempotency import answer_once
from advanced_rag.api.ingest_answers import IngestAnswers
from advanced_rag.api.native_route import NativeRoute
from advanced_rag.api.openapi import BODY_STATUSES, problems
from advanced_rag.api.preferences import Preferences
from advanced_rag.api.schemas.ingestion import IngestRequest, IngestResponse
from advanced_rag.api.schemas.jobs import JobAcceptedAnswer

ROUTE: Final = "/v1/ingest"
_ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": JobAcceptedAnswer, "description": "With `Prefer: respond-async`: stored, and done by a job."}
}

router = APIRouter(tags=["documents"], route_class=NativeRoute)


@router.post(
    "/ingest",
    response_model=IngestResponse,
    responses={**_ACCEPTED, **problems(*BODY_STATUSES, 409, 503, 504, 507)},
)
async def ingest(
    body: IngestRequest, request: Request, tenant: CurrentTenant, state: CurrentState, context: Context
) -> Response:
    """Take documents in. Each has its own line in the answer: one that fails does not keep the others out.

    `Prefer: respond-async` makes a job of it. `Idempotency-Key` makes it safe to repeat for 24 hours.
    """
    answers = IngestAnswers(tenant, state, Preferences.of(request.headers), context.request_id)
    return await answer_once(request, tenant, ROUTE, partial(answers.answer, body.documents))
