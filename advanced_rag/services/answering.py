"""Answering: retrieve, quote the sentences that answer, cite them, and keep the conversation."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from advanced_rag.constants import MILLISECONDS_PER_SECOND
from advanced_rag.domain.documents import ChunkId, DocumentId, Passage, Tenant
from advanced_rag.domain.extraction import (
    EvidenceSentence,
    ExtractiveAnswer,
    Scores,
    evidence_sentences,
    extractive_answer,
    term_overlaps,
)
from advanced_rag.domain.pages import PAGES_KEY, page_of
from advanced_rag.exceptions import DeadlineExceeded, DependencyError, LoadShed, NotFound, RetrievalError
from advanced_rag.ports.conversations import ConversationStore, NewMessage, Role
from advanced_rag.ports.models import Encoder, Tokenizer
from advanced_rag.services.indexing import Workers
from advanced_rag.services.lane_search import database_degradation, degradation_reason
from advanced_rag.services.retrieval import RetrievalService
from advanced_rag.services.retrieval_query import Mode, Retrieval, RetrievalQuery

_TITLE_CHARS = 80  # of a session's first message
NOTHING_FOUND = "Nothing in the documents answers this question."
NO_SOURCES = "The documents cannot be searched at the moment, so this question cannot be answered."


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
    """What the mark `[n]` points to: `text` stands at `start:end` (code points) of the document.

    `page` (from 1) is where it begins, in a document that has pages.
    """

    n: int
    chunk_id: ChunkId
    document_id: DocumentId
    title: str
    start: int
    end: int
    score: float
    text: str
    page: int | None = None


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
    """What is configured. `require_grounding` off: without sources there is still an answer that says so."""

    max_sentences: int
    max_candidates: int
    grounded_score: float
    require_grounding: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    """Whether and where the conversation was stored."""

    session_id: str | None
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweringService:
    """Extractive answers: sentences of the evidence, quoted."""

    retrieval: RetrievalService
    encoder: Encoder
    tokenizer: Tokenizer
    workers: Workers
    conversations: ConversationStore
    values: AnsweringValues
    clock: Callable[[], float] = time.monotonic

    async def answer(self, query: ChatQuery) -> Answer:
        """An answer with a citation for every sentence of it.

        Raises:
            NotFound: a session that is not the tenant's.
            LoadShed, DependencyError: a session was named and the database cannot say whose it is.
            RetrievalError: no lane answers, and an answer has to be grounded.
        """
        started = self.clock()
        if query.session_id is not None and not await self.conversations.session(query.tenant, query.session_id):
            raise NotFound("there is no such session")
        found = await self._evidence(query)
        found_at = self.clock()
        text, citations, degraded = await self._worded(query.message, found)
        answered_at = self.clock()
        message_id = uuid.uuid4().hex
        kept = await self._keep(query, message_id, text, citations)
        names = (*(found.degraded if found else ()), *degraded, *kept.degraded)
        prompt_tokens, completion_tokens = self._tokens(query.message), self._tokens(text)
        return Answer(
            answer=text,
            citations=citations,
            grounded=bool(citations),
            degraded=tuple(dict.fromkeys(names)),
            session_id=kept.session_id,
            message_id=message_id,
            persisted=kept.session_id is not None,
            finish_reason="stop",
            usage={
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
            timings_ms={
                "retrieval": (found_at - started) * MILLISECONDS_PER_SECOND,
                "answer": (answered_at - found_at) * MILLISECONDS_PER_SECOND,
                "total": (self.clock() - started) * MILLISECONDS_PER_SECOND,
            },
        )

    async def _evidence(self, query: ChatQuery) -> Retrieval | None:
        try:
            return await self.retrieval.retrieve(
                RetrievalQuery(
                    tenant=query.tenant,
                    text=query.message,
                    top_k=query.top_k,
                    mode=query.mode,
                    domain=query.domain,
                    filters=query.filters,
                )
            )
        except RetrievalError:
            if self.values.require_grounding:
                raise
            return None

    async def _worded(
        self, question: str, found: Retrieval | None
    ) -> tuple[str, tuple[Citation, ...], tuple[str, ...]]:
        if found is None:
            return NO_SOURCES, (), ()
        extracted, degraded = await self._extracted(question, found)
        return extracted.text, _with_quotations(found, extracted), degraded

    async def _extracted(self, question: str, found: Retrieval) -> tuple[ExtractiveAnswer, tuple[str, ...]]:
        """The sentences that answer; without embeddings they are chosen by their words alone."""
        passages = [result.passage for result in found.results]
        sentences, overlaps = await self.workers.run(lambda: self._candidates(question, passages))
        similarities, degraded = await self._similarities(question, sentences)
        answer = extractive_answer(
            passages,
            sentences,
            similarities=overlaps if similarities is None else similarities,
            overlaps=overlaps,
            nothing_found=NOTHING_FOUND,
            grounded_score=self.values.grounded_score,
            max_sentences=self.values.max_sentences,
        )
        return answer, degraded

    def _candidates(self, question: str, passages: Sequence[Passage]) -> tuple[Sequence[EvidenceSentence], Scores]:
        sentences = evidence_sentences(passages)[: self.values.max_candidates]
        return sentences, term_overlaps(question, passages, sentences)

    async def _similarities(
        self, question: str, sentences: Sequence[EvidenceSentence]
    ) -> tuple[Scores | None, tuple[str, ...]]:
        if not sentences:
            return None, ()
        try:
            vectors = await self.encoder.encode_queries([question, *(sentence.text for sentence in sentences)])
        except (DependencyError, LoadShed) as error:
            return None, (f"embedding:{degradation_reason(error)}",)
        return vectors[1:] @ vectors[0], ()

    async def _keep(self, query: ChatQuery, message_id: str, text: str, citations: Sequence[Citation]) -> _Kept:
        """The question and the answer, in the session named or a new one; a new one may be lost, and it is said."""
        messages = [
            NewMessage(uuid.uuid4().hex, Role.USER, query.message, self._tokens(query.message)),
            NewMessage(
                message_id, Role.ASSISTANT, text, self._tokens(text), citations=[asdict(each) for each in citations]
            ),
        ]
        try:
            session_id = query.session_id
            if session_id is None:
                title = " ".join(query.message.split())[:_TITLE_CHARS]
                session_id = (await self.conversations.create(query.tenant, user_id=query.user_id, title=title)).id
            await self.conversations.append(query.tenant, session_id, messages)
        except (DependencyError, LoadShed, DeadlineExceeded) as error:
            if query.session_id is not None:
                raise
            return _Kept(None, (database_degradation(error),))
        return _Kept(session_id)

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer.token_offsets(text))


def _with_quotations(found: Retrieval, extracted: ExtractiveAnswer) -> tuple[Citation, ...]:
    texts = {result.passage.chunk_id: result.passage for result in found.results}
    return tuple(
        Citation(
            n=each.n,
            chunk_id=each.chunk_id,
            document_id=each.document_id,
            title=each.title,
            start=each.start,
            end=each.end,
            score=each.score,
            text=_cut(texts[each.chunk_id], each.start, each.end),
            page=page_of(texts[each.chunk_id].metadata.get(PAGES_KEY), each.start),
        )
        for each in extracted.citations
    )


def _cut(passage: Passage, start: int, end: int) -> str:
    return passage.text[start - passage.start : end - passage.start]
