"""`POST /v1/chat`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from advanced_rag.api.schemas.base import AnswerModel, Identifier, RequestModel, not_blank
from advanced_rag.api.schemas.retrieval import LooseMode, rounded
from advanced_rag.constants import MAX_MESSAGE_CHARS, MAX_TOP_K
from advanced_rag.domain.documents import Tenant
from advanced_rag.services.answering import Answer, ChatQuery
from advanced_rag.services.retrieval_query import Mode


class ChatRequest(RequestModel):
    """A message. Without `session_id` a conversation begins."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "Where are the spare keys?"}]})

    message: Annotated[str, AfterValidator(not_blank)] = Field(max_length=MAX_MESSAGE_CHARS)
    session_id: Identifier | None = None
    user_id: Identifier | None = None
    top_k: int = Field(default=5, ge=1, le=MAX_TOP_K)
    mode: LooseMode = Mode.HYBRID
    domain: Identifier | None = None
    filters: dict[str, Any] | None = Field(default=None, description="Conditions on declared metadata fields.")

    def to_query(self, tenant: Tenant) -> ChatQuery:
        """What the service is asked."""
        return ChatQuery(
            tenant=tenant,
            message=self.message,
            session_id=self.session_id,
            user_id=self.user_id,
            top_k=self.top_k,
            mode=self.mode,
            domain=self.domain,
            filters=self.filters,
        )


class CitationAnswer(AnswerModel):
    """What `[n]` in the answer points to; offsets are code points of the document's text."""

    n: int
    chunk_id: str
    document_id: str
    title: str
    start: int
    end: int
    score: float
    text: str
    page: int | None = Field(
        default=None,
        exclude_if=lambda page: page is None,
        description="Where it begins, from 1. Only of files that have pages.",
    )


class ChatResponse(AnswerModel):
    """An answer with its sources."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "answer": "“Spare keys hang in cabinet B.” [1]",
                    "citations": [
                        {
                            "n": 1,
                            "chunk_id": "c_9a1f",
                            "document_id": "keys-2026",
                            "title": "Key register",
                            "start": 120,
                            "end": 149,
                            "score": 0.83,
                            "text": "Spare keys hang in cabinet B.",
                        }
                    ],
                    "grounded": True,
                    "degraded": [],
                    "session_id": "s_01",
                    "message_id": "m_02",
                    "persisted": True,
                    "finish_reason": "stop",
                    "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
                    "timings_ms": {"total": 14.2},
                    "request_id": "req-7f3",
                }
            ]
        }
    )

    answer: str
    citations: list[CitationAnswer]
    grounded: bool = Field(description="Whether the answer rests on evidence.")
    degraded: list[str] = Field(description="`component:reason` of everything that did not take part.")
    session_id: str | None
    message_id: str
    persisted: bool
    finish_reason: str
    usage: dict[str, int]
    timings_ms: dict[str, float]
    request_id: str

    @classmethod
    def of(cls, answer: Answer, *, elapsed_ms: float, request_id: str) -> ChatResponse:
        """The body of an answer."""
        return cls(
            answer=answer.answer,
            citations=[
                CitationAnswer(
                    n=citation.n,
                    chunk_id=citation.chunk_id,
                    document_id=citation.document_id,
                    title=citation.title,
                    start=citation.start,
                    end=citation.end,
                    score=citation.score,
                    text=citation.text,
                    page=citation.page,
                )
                for citation in answer.citations
            ],
            grounded=answer.grounded,
            degraded=list(answer.degraded),
            session_id=answer.session_id,
            message_id=answer.message_id,
            persisted=answer.persisted,
            finish_reason=answer.finish_reason,
            usage=dict(answer.usage),
            timings_ms=rounded(answer.timings_ms, total=elapsed_ms),
            request_id=request_id,
        )
