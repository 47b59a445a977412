"""The services over the real Milvus and SQLite, with an encoder that costs nothing; composed as bootstrap does.

`wrap(name, part)` may put something of the test's own around `store`, `sweep`, `semantic` or `sparse`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from advanced_rag.adapters.milvus.client import MilvusConnection
from advanced_rag.adapters.milvus.collections import ensure_collection, layout_of
from advanced_rag.adapters.milvus.engine import EmbeddedMilvus
from advanced_rag.adapters.milvus.vector_index import MilvusSparseIndex, MilvusVectorIndex
from advanced_rag.adapters.sql.chunk_ledger import SqlChunkLedger
from advanced_rag.adapters.sql.document_reader import SqlDocumentReader
from advanced_rag.adapters.sql.document_store import SqlDocumentStore
from advanced_rag.adapters.sql.migrate import migrate
from advanced_rag.adapters.sql.version_sweep import SqlVersionSweep
from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.domain.documents import DocumentId, Lane, Tenant
from advanced_rag.domain.filters import FieldType
from advanced_rag.domain.fusion import FusionMethod
from advanced_rag.feature_flags import FeatureFlags
from advanced_rag.ports.collections import CollectionRecord
from advanced_rag.services.indexing import IndexingService, IndexingValues
from advanced_rag.services.ingest_outcome import IngestOutcome
from advanced_rag.services.ingest_progress import IngestProgress
from advanced_rag.services.lane_search import DenseLane, LaneSearch
from advanced_rag.services.preparation import GivenDocument, Preparation
from advanced_rag.services.reconciliation import (
    LaneReport,
    ReconciledLane,
    ReconciliationService,
    ReconciliationValues,
)
from advanced_rag.services.retrieval import RetrievalService, RetrievalValues
from advanced_rag.services.retrieval_query import Mode, RetrievalQuery, RetrievedPassage
from advanced_rag.services.row_rebuilding import LaneEncoder, RowRebuilding
from advanced_rag.services.sweeping import SweepingService
from advanced_rag.services.version_map import VersionMap
from tests.fakes.encoder import HashEncoder, WordTokenizer
from tests.integration.databases import opened_pool

ACME: Final = Tenant("acme")
FIELDS: Final = {"lang": FieldType.STRING}
TOKENS_PER_CHUNK: Final = 16
Wrap = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Stack:
    """One of everything, over one Milvus and one SQLite file."""

    indexing: IndexingService
    retrieval: RetrievalService
    sweeping: SweepingService
    reconciliation: ReconciliationService
    reader: SqlDocumentReader
    encoder: HashEncoder
    semantic: MilvusVectorIndex
    sparse: MilvusSparseIndex

    async def put(self, name: str, text: str) -> IngestOutcome:
        """Take one document in."""
        (outcome,) = await self.indexing.ingest(ACME, [given(name, text)])
        return outcome

    async def found(self, text: str, *, top_k: int = 20, mode: Mode = Mode.HYBRID) -> Sequence[RetrievedPassage]:
        """What a reader gets; it must not be degraded."""
        retrieval = await self.retrieval.retrieve(RetrievalQuery(ACME, text, top_k=top_k, mode=mode))
        assert retrieval.degraded == ()
        return retrieval.results

    async def version(self, name: str) -> int | None:
        """The active version, or None where there is no such document."""
        shown = await self.reader.document(ACME, DocumentId(name))
        return None if shown is None else shown[0].version

    async def doctor(self, *, grace_s: float | None = None) -> dict[str, LaneReport]:
        """Sweep what is over, then compare."""
        sweeping = self.sweeping if grace_s is None else replace(self.sweeping, grace_s=grace_s)
        while await sweeping.sweep_once():
            pass
        return await self.reconciliation.reconcile()

    async def rows(self) -> tuple[int, int]:
        """How many rows the semantic and the sparse collection have."""
        counts = [0, 0]
        for position, index in enumerate((self.semantic, self.sparse)):
            after = None
            while page := await index.page_of_ids(after, 1_000):
                counts[position] += len(page)
                after = page[-1]
        return counts[0], counts[1]


def given(name: str, text: str) -> GivenDocument:
    """A document as a caller gives it."""
    return GivenDocument(text, name, "", "", {})


def chunked(marker: str, chunks: int = 3) -> str:
    """A text of so many chunks, each with the marker (three words at most) in it."""
    words = " ".join(f"w{number}" for number in range(TOKENS_PER_CHUNK - 6))
    return "\n\n".join(f"{marker} part{number} {words}." for number in range(chunks))


def clean(reports: dict[str, LaneReport]) -> bool:
    """Whether nothing had to be mended."""
    return all(report.clean for report in reports.values())


@asynccontextmanager
async def stack_on(
    connection: MilvusConnection,
    database: Path,
    *,
    prefix: str = "rag",
    wrap: Wrap = lambda _, part: part,
    lease_s: float = 300.0,
    grace_s: float = 60.0,
) -> AsyncIterator[Stack]:
    """The services over that Milvus and that file, which is migrated here; collections are named after `prefix`."""
    url = f"sqlite+aiosqlite:///{database}"
    await migrate(url)
    encoder = HashEncoder()
    semantic = MilvusVectorIndex(connection, **await _collection(connection, Lane.SEMANTIC, prefix, encoder))
    sparse = MilvusSparseIndex(connection, **await _collection(connection, Lane.SPARSE, prefix, encoder))
    async with AsyncExitStack() as opened:
        pool = await opened.enter_async_context(opened_pool(url))
        workers = AsyncExecutor("preparation", threads=1, max_waiting=1_000)
        opened.push_async_callback(workers.close, grace_s=1.0)
        preparation = Preparation(WordTokenizer(), FIELDS, TOKENS_PER_CHUNK, 0, 256)
        dense, terms = DenseLane(encoder, wrap("semantic", semantic)), wrap("sparse", sparse)
        reader, versions = SqlDocumentReader(pool), VersionMap()
        yield Stack(
            indexing=IndexingService(
                store=wrap("store", SqlDocumentStore(pool)),
                preparation=preparation,
                workers=workers,
                semantic=dense,
                sparse=terms,
                domains={},
                versions=versions,
                values=IndexingValues(documents_per_group=32, groups_in_flight=2, encode_batch=32, lease_s=lease_s),
                listener=IngestProgress(interval_s=60.0),
            ),
            retrieval=RetrievalService(
                # A busy machine is no reason to leave a lane out: these tests are about what is seen, not how fast.
                lanes=LaneSearch(dense, terms, {}, cutoff_s=60.0, cutoff_after_first_s=60.0),
                reader=reader,
                passages=sparse,
                versions=versions,
                declared=FIELDS,
                features=FeatureFlags(),
                values=RetrievalValues(FusionMethod.DBSF, dict.fromkeys(Lane, 1.0), 100, grace_s, False),
            ),
            sweeping=SweepingService(
                versions=wrap("sweep", SqlVersionSweep(pool)),
                indexes={"semantic": dense.index, "sparse": terms},
                grace_s=grace_s,
                batch=50,
                interval_s=1.0,
            ),
            reconciliation=ReconciliationService(
                ledger=SqlChunkLedger(pool),
                lanes={"semantic": ReconciledLane(semantic), "sparse": ReconciledLane(sparse)},
                rebuilding=RowRebuilding(
                    preparation,
                    workers,
                    {"semantic": LaneEncoder(encoder, "hash"), "sparse": LaneEncoder(None, "hash")},
                    encode_batch=32,
                ),
                values=ReconciliationValues(page=50, batch=20, pause_s=0.0, interval_s=60.0),
            ),
            reader=reader,
            encoder=encoder,
            semantic=semantic,
            sparse=sparse,
        )


@asynccontextmanager
async def embedded_stack(folder: Path, **options: Any) -> AsyncIterator[Stack]:
    """The services below a data folder, with the embedded engine that this process owns or joins."""
    engine = EmbeddedMilvus(folder)
    await engine.start()
    connection = MilvusConnection(engine.uri, embedded=True)
    try:
        await engine.wait_ready()
        async with stack_on(connection, folder / "rag.sqlite3", **options) as stack:
            yield stack
    finally:
        await connection.close()
        await engine.close()


async def _collection(connection: MilvusConnection, lane: Lane, prefix: str, encoder: HashEncoder) -> dict[str, Any]:
    record = CollectionRecord(lane, "", f"{prefix}_{lane.value}", "hash", encoder.model.dimensions, 1)
    await ensure_collection(connection, record, FIELDS)
    return {
        "collection": record.physical_name,
        "layout": layout_of(record, FIELDS),
        "name": f"milvus.{lane.value}",
    }
