"""`POST /v1/retrieve`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from advanced_rag.api.schemas.base import AnswerModel, Identifier, RequestModel, not_blank
from advanced_rag.constants import MAX_QUERY_CHARS, MAX_TOP_K
from advanced_rag.domain.documents import Lane, Tenant
from advanced_rag.domain.pages import PAGES_KEY, page_of
from advanced_rag.services.retrieval_query import Mode, Retrieval, RetrievalQuery, RetrievedPassage

LooseMode = Annotated[Mode, Field(strict=False)]  # a string in JSON, never an enum member


class RetrieveRequest(RequestModel):
    """A question and how to look for its passages."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "Where are the spare keys?"},
                {"query": "parental leave", "top_k": 5, "filters": {"lang": "en", "year": {"$gte": 2020}}},
            ]
        }
    )

    query: Annotated[str, AfterValidator(not_blank)] = Field(max_length=MAX_QUERY_CHARS)
    top_k: int = Field(default=10, ge=1, le=MAX_TOP_K)
    mode: LooseMode = Mode.HYBRID
    domain: Identifier | None = None
    filters: dict[str, Any] | None = Field(default=None, description="Conditions on declared metadata fields.")
    min_score: float | None = Field(default=None, ge=0, le=1)
    explain: bool = False

    def to_query(self, tenant: Tenant) -> RetrievalQuery:
        """What the service is asked."""
        return RetrievalQuery(
            tenant=tenant,
            text=self.query,
            top_k=self.top_k,
            mode=self.mode,
            domain=self.domain,
            filters=self.filters,
            min_score=self.min_score,
            explain=self.explain,
        )


class LaneShareAnswer(AnswerModel):
    """What one lane said of a result."""

    rank: int
    score: float
    contribution: float


class ResultAnswer(AnswerModel):
    """A passage that was found. `start` and `end` are code points of the document's text."""

    chunk_id: str
    document_id: str
    title: str
    text: str
    score: float
    rank: int
    metadata: dict[str, Any]
    start: int
    end: int
    page: int | None = Field(default=None, description="Where it begins, from 1. Only of files that have pages.")
    stale: bool = Field(default=False, description="Only where its visibility could not be checked.")
    lanes: dict[Lane, LaneShareAnswer] | None = Field(default=None, description="Only with `explain`.")

    @classmethod
    def of(cls, found: RetrievedPassage, *, explain: bool) -> ResultAnswer:
        """Optional members are set only where they say something: what is not set is not sent."""
        passage = found.passage
        optional: dict[str, Any] = {}
        metadata = dict(passage.metadata)
        if (page := page_of(metadata.get(PAGES_KEY), passage.start)) is not None:
            optional["page"] = page
            del metadata[PAGES_KEY]  # kilobytes in every result, and already said
        if passage.stale:
            optional["stale"] = True
        if explain:
            optional["lanes"] = {
                lane: LaneShareAnswer(rank=share.rank, score=share.score, contribution=share.contribution)
                for lane, share in found.lanes.items()
            }
        return cls(
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            title=passage.title,
            text=passage.text,
            score=found.score,
            rank=found.rank,
            metadata=metadata,
            start=passage.start,
            end=passage.end,
            **optional,
        )


class RetrieveResponse(AnswerModel):
    """The passages, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {
                            "chunk_id": "c_9a1f",
                            "document_id": "keys-2026",
                            "title": "Key register",
                            "text": "Spare keys hang in cabinet B.",
                            "score": 0.83,
                            "rank": 1,
                            "metadata": {"lang": "en"},
                            "start": 120,
                            "end": 149,
                        }
                    ],
                    "degraded": [],
                    "timings_ms": {"search": 6.1, "total": 9.4},
                    "request_id": "req-7f2",
                }
            ]
        }
    )

    results: list[ResultAnswer]
    degraded: list[str] = Field(description="`component:reason` of everything that did not take part.")
    timings_ms: dict[str, float]
    request_id: str
    coverage: dict[Lane, float] | None = Field(default=None, description="Only with `explain`.")

    @classmethod
    def of(cls, retrieval: Retrieval, *, explain: bool, elapsed_ms: float, request_id: str) -> RetrieveResponse:
        """The answer to a retrieval."""
        optional = {"coverage": dict(retrieval.coverage)} if explain else {}
        return cls(
            results=[ResultAnswer.of(found, explain=explain) for found in retrieval.results],
            degraded=list(retrieval.degraded),
            timings_ms=rounded(retrieval.timings_ms, total=elapsed_ms),
            request_id=request_id,
            **optional,
        )


def rounded(timings_ms: Mapping[str, float], *, total: float) -> dict[str, float]:
    """Timings to a hundredth of a millisecond, with the whole request's."""
    return {name: round(value, 2) for name, value in {**timings_ms, "total": total}.items()}
