"""`POST /v1/ingest`."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from advanced_rag.api.dependencies import Context, CurrentState, CurrentTenant, Indexer
from advanced_rag.api.native_route import NativeRoute
from advanced_rag.api.openapi import BODY_STATUSES, problems
from advanced_rag.api.schemas.ingestion import CheckedBatch, IngestRequest, IngestResponse

router = APIRouter(tags=["documents"], route_class=NativeRoute)


@router.post("/ingest", response_model_exclude_unset=True, responses=problems(*BODY_STATUSES, 503, 504, 507))
async def ingest(
    body: IngestRequest, tenant: CurrentTenant, indexer: Indexer, state: CurrentState, context: Context
) -> IngestResponse:
    """Take documents in. Each has its own line in the answer: one that fails does not keep the others out."""
    batch = await state.executor.run(partial(CheckedBatch.of, body.documents))
    outcomes = await indexer.ingest(tenant, batch.given)
    return batch.answer(outcomes, request_id=context.request_id)
