"""`POST /v1/feedback`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from advanced_rag.api.schemas.base import AnswerModel, Identifier, RequestModel
from advanced_rag.ports.conversations import Feedback, Vote

MAX_COMMENT_CHARS: Final = 4_000


class FeedbackRequest(RequestModel):
    """A vote on an answer. A caller has one a message: a later one takes the place of the earlier."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message_id": "m_02", "vote": "up", "comment": "Just what I needed."}]}
    )

    message_id: Identifier
    vote: Annotated[Vote, Field(strict=False)]  # a string in JSON, never an enum member
    comment: str | None = Field(default=None, max_length=MAX_COMMENT_CHARS)


class FeedbackAnswer(AnswerModel):
    """The caller's vote as it stands."""

    id: str
    message_id: str
    vote: Vote
    comment: str | None
    created_at: datetime
    request_id: str

    @classmethod
    def of(cls, feedback: Feedback, *, request_id: str) -> FeedbackAnswer:
        """One vote."""
        return cls(
            id=feedback.id,
            message_id=feedback.message_id,
            vote=feedback.vote,
            comment=feedback.comment or None,
            created_at=feedback.created_at,
            request_id=request_id,
        )
