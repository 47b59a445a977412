"""Interim"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from advanced_rag.domain.documents import ChunkId, DocumentId, Tenant
from advanced_rag.ports.conversations import ConversationStore
from advanced_rag.ports.models import Encoder
from advanced_rag.services.retrieval import RetrievalService
from advanced_rag.services.retrieval_query import Mode


@dataclass(frozen=True, slots=True)
class ChatQuery:
    """A message of one tenant's user; without a session one is made."""

    tenant: Tenant
    message: str
    session_id: str | None = None
    user_id: str | None = None
    top_k: int = 5
    mode: Mode = Mode.HYBRID
    domain: str | None = None
    filters: object | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """What the mark `[n]` points to: `text` stands at `start:end` (code points) of the document."""

    n: int
    chunk_id: ChunkId
    document_id: DocumentId
    title: str
    start: int
    end: int
    score: float
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `session_id` is None and `persisted` False where the conversation could not be stored."""

    answer: str
    citations: tuple[Citation, ...]
    grounded: bool
    degraded: tuple[str, ...]
    session_id: str | None
    message_id: str
    persisted: bool
    finish_reason: str
    usage: Mapping[str, int]
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnsweringValues:
    """What is configured."""

    max_sentences: int
    min_similarity: float
    require_grounding: bool


@dataclass(frozen=True, slots=True)
class AnsweringService:
    """Answers"""

    retrieval: RetrievalService
    encoder: Encoder
    conversations: ConversationStore
    values: AnsweringValues

    async def answer(self, query: ChatQuery) -> Answer:
        """Raises NotFound for a session that is not the tenant's, RetrievalError where no lane answers."""
        return Answer("", (), False, (), None, str(uuid.uuid4()), False, "stop", {})
