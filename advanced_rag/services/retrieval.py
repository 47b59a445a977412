"""Hybrid retrieval: ask the lanes, fuse, look up what may be seen, answer, and say what did not take part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from advanced_rag.constants import MILLISECONDS_PER_SECOND, MILVUS_MAX_LIMIT
from advanced_rag.domain.documents import ChunkId, DocumentId, Lane, Passage, Tenant
from advanced_rag.domain.filter_fields import readable_field_values
from advanced_rag.domain.filter_matching import matches, simplified
from advanced_rag.domain.filter_parser import parse_filter
from advanced_rag.domain.filters import AllOf, Comparator, Compare, Constant, DeclaredFields, Filter
from advanced_rag.domain.fusion import FusedHit, FusionMethod, fuse
from advanced_rag.exceptions import (
    DependencyError,
    LoadShed,
    RetrievalError,
    ValidationError,
)
from advanced_rag.feature_flags import FeatureFlags
from advanced_rag.ports.documents import ChunkRef, DocumentReader
from advanced_rag.ports.indexes import PassageStore
from advanced_rag.services.lane_search import LaneAnswers, LaneRequest, LaneSearch, database_degradation
from advanced_rag.services.retrieval_query import LaneShare, Mode, Retrieval, RetrievalQuery, RetrievedPassage
from advanced_rag.services.version_map import VersionMap

_OVER_FETCH = 2  # invisible rows take places: each lane is asked for twice what is wanted (reliability R6.9) …
_WIDENING = 4  # … and once more for four times as much when too few survive
_WINDOW = 3  # the first look-up covers this many times top_k


@dataclass(frozen=True, slots=True)
class RetrievalValues:
    """What is configured."""

    fusion: FusionMethod
    weights: Mapping[Lane, float]
    candidates: int
    grace_s: float
    allow_degraded_reads: bool


@dataclass(frozen=True, slots=True)
class _Found:
    passages: Mapping[ChunkId, Passage]
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrievalService:
    """Answers queries. `reader`'s guard bounds a look-up with all its waits (reliability R5.1: 500 ms)."""

    lanes: LaneSearch
    reader: DocumentReader
    passages: PassageStore
    versions: VersionMap
    declared: DeclaredFields
    features: FeatureFlags
    values: RetrievalValues
    clock: Callable[[], float] = time.monotonic

    async def retrieve(self, query: RetrievalQuery) -> Retrieval:
        """The best passages, at most `top_k`, that the filter admits and that are visible now.

        Raises:
            ValidationError: the filter, or a mode that nothing is configured for.
            RetrievalError: no lane answered; fewer than all is an answer marked degraded.
        """
        started = self.clock()
        where = self._where(query)
        lanes = self._lanes(query)
        if where == Constant(value=False):
            return Retrieval(results=(), timings_ms={"total": self._since(started)})
        limit = max(self.values.candidates, _OVER_FETCH * query.top_k)
        while True:
            answers = await self.lanes.search(LaneRequest(query.tenant, query.text, lanes, query.domain, where, limit))
            if not answers.rankings:
                raise RetrievalError({lane.value: reason for lane, reason in answers.reasons.items()})
            fused = fuse(answers.rankings, method=self.values.fusion, weights=self.values.weights, limit=limit)
            looked_up_at = self.clock()
            survivors, degraded = await self._survivors(query, fused, where)
            exhausted = all(len(ranking) < limit for ranking in answers.rankings.values())
            if len(survivors) >= query.top_k or exhausted or limit >= MILVUS_MAX_LIMIT:
                break
            limit = min(limit * _WIDENING, MILVUS_MAX_LIMIT)
        timings = {**answers.timings_ms, "lookup": self._since(looked_up_at), "total": self._since(started)}
        return self._answer(query, survivors, answers, degraded, timings)

    def _since(self, instant: float) -> float:
        return (self.clock() - instant) * MILLISECONDS_PER_SECOND

    def _where(self, query: RetrievalQuery) -> Filter | None:
        parts: list[Filter] = []
        if query.domain:
            parts.append(Compare("domain", Comparator.EQ, query.domain))
        if query.filters is not None:
            parts.append(parse_filter(query.filters, self.declared))
        where = simplified(AllOf(tuple(parts)))
        return None if where == Constant(value=True) else where

    def _lanes(self, query: RetrievalQuery) -> tuple[Lane, ...]:
        has_domain_lane = self.features.enable_domain_search and query.domain in self.lanes.domains
        match query.mode:
            case Mode.SEMANTIC:
                return (Lane.SEMANTIC,)
            case Mode.SPARSE:
                if not self.features.enable_sparse_search:
                    raise ValidationError.of("/mode", "unsupported", "sparse search is switched off")
                return (Lane.SPARSE,)
            case Mode.DOMAIN:
                if not has_domain_lane:
                    raise ValidationError.of("/domain", "unsupported", "this domain has neither encoder nor adapter")
                return (Lane.DOMAIN,)
            case Mode.HYBRID:
                lanes = [Lane.SEMANTIC]
                if self.features.enable_sparse_search:
                    lanes.append(Lane.SPARSE)
                if has_domain_lane:
                    lanes.append(Lane.DOMAIN)
                return tuple(lanes)

    async def _survivors(
        self, query: RetrievalQuery, fused: Sequence[FusedHit], where: Filter | None
    ) -> tuple[list[tuple[FusedHit, Passage]], tuple[str, ...]]:
        """The first `top_k` fused hits that are visible and that the filter, checked again in Python, admits.

        A document is looked up once, with all of its candidates: between two look-ups it may get another version, and
        an answer must not mix them.
        """
        survivors: list[tuple[FusedHit, Passage]] = []
        passages: dict[ChunkId, Passage] = {}
        decided: set[DocumentId] = set()
        degraded: tuple[str, ...] = ()
        window = _WINDOW * query.top_k
        for offset in range(0, len(fused), window):
            page = fused[offset : offset + window]
            if fresh := {hit.document_id for hit in page} - decided:
                found = await self._look_up(query.tenant, _candidates_of(fresh, fused))
                decided |= fresh
                passages |= found.passages
                degraded += found.degraded
            survivors.extend(
                (hit, passage)
                for hit in page
                if (passage := passages.get(hit.chunk_id)) is not None and self._admits(where, passage)
            )
            if len(survivors) >= query.top_k:
                break
        return survivors[: query.top_k], degraded

    def _admits(self, where: Filter | None, passage: Passage) -> bool:
        if where is None:
            return True
        values = {
            **readable_field_values(passage.metadata, self.declared),
            "document_id": passage.document_id,
            "domain": passage.domain,
        }
        return matches(where, values)

    async def _look_up(self, tenant: Tenant, refs: Sequence[ChunkRef]) -> _Found:
        try:
            found = await self.reader.visible(tenant, refs, grace_s=self.values.grace_s)
        except (DependencyError, LoadShed) as error:
            return await self._stale(tenant, refs, error)
        for passage in found.values():
            self.versions.saw(tenant, passage.document_id, passage.version)
        return _Found(found)

    async def _stale(self, tenant: Tenant, refs: Sequence[ChunkRef], error: DependencyError | LoadShed) -> _Found:
        """Texts from the sparse collection, visibility from what this process has seen (reliability R5.1)."""
        if not self.values.allow_degraded_reads:
            raise error
        stored = await self.passages.passages(tenant, [ref.chunk_id for ref in refs])
        shown = self.versions.judged(tenant, stored.values())
        degraded = [database_degradation(error)]
        if any(passage.stale for passage in shown):
            degraded.append("database:stale")
        return _Found({passage.chunk_id: passage for passage in shown}, tuple(degraded))

    @staticmethod
    def _answer(
        query: RetrievalQuery,
        survivors: Sequence[tuple[FusedHit, Passage]],
        answers: LaneAnswers,
        degraded: tuple[str, ...],
        timings_ms: Mapping[str, float],
    ) -> Retrieval:
        results = tuple(
            RetrievedPassage(
                passage=passage,
                score=hit.score,
                rank=rank,
                lanes={lane: LaneShare(said.rank, said.score, said.share) for lane, said in hit.lanes.items()},
            )
            for rank, (hit, passage) in enumerate(survivors, start=1)
            if query.min_score is None or hit.score >= query.min_score
        )
        coverage = {
            lane: sum(lane in result.lanes for result in results) / len(results) if results else 0.0
            for lane in answers.rankings
        }
        return Retrieval(
            results=results,
            degraded=tuple(dict.fromkeys((*answers.degraded, *degraded))),
            timings_ms=timings_ms,
            coverage=coverage,
        )


def _candidates_of(documents: AbstractSet[DocumentId], fused: Sequence[FusedHit]) -> list[ChunkRef]:
    """Every candidate of these documents.

    Which version of a document is shown depends on whether *any* candidate is of the active one (reliability R6.8),
    so the look-up has to see all of them.
    """
    return [ChunkRef(hit.chunk_id, hit.document_id, hit.version) for hit in fused if hit.document_id in documents]
