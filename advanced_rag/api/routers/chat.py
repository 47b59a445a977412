"""`POST /v1/chat`."""

from __future__ import annotations

from fastapi import APIRouter

from advanced_rag.api.dependencies import Answerer, Context, CurrentTenant
from advanced_rag.api.native_route import NativeRoute
from advanced_rag.api.openapi import BODY_STATUSES, problems
from advanced_rag.api.schemas.chat import ChatRequest, ChatResponse

router = APIRouter(tags=["chat"], route_class=NativeRoute)


@router.post("/chat", responses=problems(404, *BODY_STATUSES, 503, 504))
async def chat(body: ChatRequest, tenant: CurrentTenant, answerer: Answerer, context: Context) -> ChatResponse:
    """Answer a message with quotations and their sources; `grounded` is false where nothing fits."""
    answer = await answerer.answer(body.to_query(tenant))
    context.degraded = answer.degraded
    return ChatResponse.of(answer, elapsed_ms=context.elapsed_ms, request_id=context.request_id)
