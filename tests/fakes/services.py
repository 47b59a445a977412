"""The services over fakes, composed as bootstrap composes them over adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from advanced_rag.domain.documents import Lane, Tenant
from advanced_rag.domain.filters import FieldType
from advanced_rag.domain.fusion import FusionMethod
from advanced_rag.feature_flags import FeatureFlags
from advanced_rag.ports.commits import CommitNote, JobNote
from advanced_rag.services.answering import AnsweringService, AnsweringValues
from advanced_rag.services.indexing import IndexingService, IndexingValues
from advanced_rag.services.ingest_outcome import IngestOutcome
from advanced_rag.services.ingest_progress import IngestProgress
from advanced_rag.services.lane_search import DenseLane, LaneSearch
from advanced_rag.services.preparation import GivenDocument, Preparation
from advanced_rag.services.retrieval import RetrievalService, RetrievalValues
from advanced_rag.services.retrieval_query import Retrieval, RetrievalQuery
from advanced_rag.services.sweeping import SweepingService
from advanced_rag.services.version_map import VersionMap
from tests.fakes.clock import FakeClock
from tests.fakes.conversation_store import FakeConversationStore
from tests.fakes.document_store import FakeDocumentStore
from tests.fakes.encoder import HashEncoder, WordTokenizer
from tests.fakes.idempotency_store import FakeIdempotencyStore
from tests.fakes.job_store import FakeJobStore
from tests.fakes.vector_index import FakeSparseIndex, FakeVectorIndex

Result = TypeVar("Result")

ACME = Tenant("acme")
FIELDS: Mapping[str, FieldType] = {"lang": FieldType.STRING, "year": FieldType.INT, "tags": FieldType.STRINGS}


class InlineWorkers:
    """Runs the work at once."""

    async def run(self, work: Callable[[], Result]) -> Result:
        return work()


@dataclass
class FakeServices:
    """One of everything; `grace_s` 60."""

    features: FeatureFlags = field(default_factory=FeatureFlags)
    allow_degraded_reads: bool = True
    require_grounding: bool = True
    max_tokens: int = 64

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.keys = FakeIdempotencyStore(clock=self.clock)
        self.jobs = FakeJobStore(clock=self.clock, keep_answer=self.keys.keep_answer)
        self.documents = FakeDocumentStore(clock=self.clock, write_note=self._write_note)
        self.conversations = FakeConversationStore()
        self.encoder, self.tokenizer = HashEncoder(), WordTokenizer()
        self.semantic, self.sparse, self.legal = FakeVectorIndex(), FakeSparseIndex(), FakeVectorIndex()
        self.legal_encoder = HashEncoder(dimensions=32, digest="legal")
        self.versions = VersionMap(clock=self.clock)
        dense = DenseLane(self.encoder, self.semantic)
        domains = {"legal": DenseLane(self.legal_encoder, self.legal)}
        self.preparation = Preparation(self.tokenizer, FIELDS, self.max_tokens, 8, 256)
        self.retrieval = RetrievalService(
            lanes=LaneSearch(dense, self.sparse, domains, cutoff_s=0.5, cutoff_after_first_s=0.1),
            reader=self.documents,
            passages=self.sparse,
            versions=self.versions,
            declared=FIELDS,
            features=self.features,
            values=RetrievalValues(
                fusion=FusionMethod.DBSF,
                weights=dict.fromkeys(Lane, 1.0),
                candidates=20,
                grace_s=60.0,
                allow_degraded_reads=self.allow_degraded_reads,
            ),
        )
        self.indexing = IndexingService(
            store=self.documents,
            preparation=self.preparation,
            workers=InlineWorkers(),
            semantic=dense,
            sparse=self.sparse,
            domains=domains,
            versions=self.versions,
            values=IndexingValues(documents_per_group=2, groups_in_flight=2, encode_batch=4, lease_s=300.0),
            listener=IngestProgress(interval_s=1.0),
        )
        self.answering = AnsweringService(
            retrieval=self.retrieval,
            encoder=self.encoder,
            tokenizer=self.tokenizer,
            workers=InlineWorkers(),
            conversations=self.conversations,
            values=AnsweringValues(
                max_sentences=2, max_candidates=40, grounded_score=0.3, require_grounding=self.require_grounding
            ),
        )
        self.sweeping = SweepingService(
            versions=self.documents,
            indexes={"semantic": self.semantic, "sparse": self.sparse, "legal": self.legal},
            grace_s=60.0,
            batch=10,
            interval_s=1.0,
        )

    def _write_note(self, note: CommitNote) -> None:
        if isinstance(note, JobNote):
            self.jobs.write_note(note)
        else:
            self.keys.keep_answer(note)

    async def ingest(self, *documents: GivenDocument, tenant: Tenant = ACME) -> list[IngestOutcome]:
        """Put documents in."""
        return await self.indexing.ingest(tenant, documents)

    async def retrieve(self, text: str, *, tenant: Tenant = ACME, **options: Any) -> Retrieval:
        """Ask for passages."""
        return await self.retrieval.retrieve(RetrievalQuery(tenant, text, **options))


def given(
    text: str, name: str | None = None, *, title: str = "", domain: str = "", metadata: Mapping[str, Any] | None = None
) -> GivenDocument:
    """A document as a caller gives it."""
    return GivenDocument(text, name, title, domain, metadata or {})


def names(retrieval: Retrieval) -> Sequence[str]:
    """The documents of an answer, best first, each once."""
    return list(dict.fromkeys(result.passage.document_id for result in retrieval.results))
