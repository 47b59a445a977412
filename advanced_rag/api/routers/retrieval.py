"""`POST /v1/retrieve`."""

from __future__ import annotations

from fastapi import APIRouter

from advanced_rag.api.dependencies import Context, CurrentTenant, Retriever
from advanced_rag.api.native_route import NativeRoute
from advanced_rag.api.openapi import BODY_STATUSES, problems
from advanced_rag.api.schemas.retrieval import RetrieveRequest, RetrieveResponse

router = APIRouter(tags=["retrieval"], route_class=NativeRoute)


@router.post("/retrieve", response_model_exclude_unset=True, responses=problems(*BODY_STATUSES, 503, 504))
async def retrieve(
    body: RetrieveRequest, tenant: CurrentTenant, retriever: Retriever, context: Context
) -> RetrieveResponse:
    """Search the caller's documents; what did not take part is named in `degraded`."""
    retrieval = await retriever.retrieve(body.to_query(tenant))
    context.degraded = retrieval.degraded
    return RetrieveResponse.of(
        retrieval, explain=body.explain, elapsed_ms=context.elapsed_ms, request_id=context.request_id
    )
