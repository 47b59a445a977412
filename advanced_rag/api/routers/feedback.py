"""`POST /v1/feedback`."""

from __future__ import annotations

from fastapi import APIRouter

from advanced_rag.api.dependencies import Context, CurrentCaller, CurrentTenant, Voting
from advanced_rag.api.native_route import NativeRoute
from advanced_rag.api.openapi import BODY_STATUSES, problems
from advanced_rag.api.schemas.feedback import FeedbackAnswer, FeedbackRequest

router = APIRouter(tags=["chat"], route_class=NativeRoute)


@router.post("/feedback", responses=problems(404, *BODY_STATUSES, 503, 504))
async def give_feedback(
    body: FeedbackRequest, tenant: CurrentTenant, caller: CurrentCaller, voting: Voting, context: Context
) -> FeedbackAnswer:
    """Vote on an answer, or change the vote given before."""
    feedback = await voting.vote(
        tenant, caller=caller, message_id=body.message_id, vote=body.vote, comment=body.comment or ""
    )
    return FeedbackAnswer.of(feedback, request_id=context.request_id)
