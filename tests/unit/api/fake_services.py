"""Services without anything behind them, and an application over them that a test can ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from fastapi import FastAPI

from advanced_rag.api.app import ApiOptions, create_app
from advanced_rag.domain.documents import Chunk, ChunkId, DocumentId, Lane, Passage, Tenant
from advanced_rag.domain.filters import FieldType
from advanced_rag.exceptions import NotFound
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.conversations import Feedback, Message, Session, Vote
from advanced_rag.ports.documents import DocumentRecord, Page
from advanced_rag.ports.storage import StorageRoom, UnlimitedRoom
from advanced_rag.services.amending import Amendment
from advanced_rag.services.answering import Answer, ChatQuery, Citation
from advanced_rag.services.conversations import ConversationsService
from advanced_rag.services.feedback import FeedbackService
from advanced_rag.services.health import ComponentHealth, ComponentState, HealthReport, Readiness
from advanced_rag.services.idempotency import IdempotencyService
from advanced_rag.services.indexing import NoteOfOutcomes
from advanced_rag.services.ingest_outcome import IngestOutcome, IngestStatus
from advanced_rag.services.jobs import JobsService
from advanced_rag.services.preparation import GivenDocument
from advanced_rag.services.retrieval_query import LaneShare, Retrieval, RetrievalQuery, RetrievedPassage
from advanced_rag.services.uploads import UploadService, UploadValues
from advanced_rag.telemetry.metrics import Metrics
from tests.fakes.conversation_store import FakeConversationStore
from tests.fakes.file_parser import FakeFileParser
from tests.fakes.idempotency_store import FakeIdempotencyStore
from tests.fakes.job_store import FakeJobStore
from tests.fakes.services import InlineWorkers

PASSAGE = Passage(
    chunk_id=ChunkId("c_1"),
    document_id=DocumentId("keys"),
    version=1,
    title="Key register",
    domain="",
    text="Spare keys hang in cabinet B.",
    start=0,
    end=29,
    heading="",
    metadata={"lang": "en", "none": None},
)
RECORD = DocumentRecord(
    id=DocumentId("keys"),
    version=1,
    title="Key register",
    domain="",
    metadata={"lang": "en"},
    content_hash="0",
    chunk_count=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    updated_at=datetime(2026, 1, 2, tzinfo=UTC),
)


@dataclass
class FakeServices:
    """Answers at once, or raises `error`, or hangs until `released`; remembers what it was asked."""

    error: BaseException | None = None
    hangs: bool = False
    stale: bool = False
    passage: Passage = PASSAGE
    page: int | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    queries: list[RetrievalQuery] = field(default_factory=list)
    messages: list[ChatQuery] = field(default_factory=list)
    ingested: list[GivenDocument] = field(default_factory=list)
    outcome_of: Callable[[GivenDocument], IngestOutcome] | None = None
    stored: dict[str, str] = field(default_factory=lambda: {"keys": PASSAGE.text})
    readiness_answer: Readiness = field(default_factory=lambda: Readiness(ready=True, status="ready"))
    ticking: bool = True
    degraded: tuple[str, ...] = ()
    room: StorageRoom = field(default_factory=UnlimitedRoom)
    filters: list[object] = field(default_factory=list)
    amendments: list[Amendment] = field(default_factory=list)
    conversation_store: FakeConversationStore = field(default_factory=FakeConversationStore)
    key_store: FakeIdempotencyStore = field(default_factory=FakeIdempotencyStore)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    parser: FakeFileParser = field(default_factory=FakeFileParser)
    upload_folder: Path = Path("not-made")
    parsed: list[str] = field(default_factory=list)

    @property
    def uploads(self) -> UploadService:
        """The real service over a fake parser and this."""
        return UploadService(
            folder=self.upload_folder,
            parser=self.parser,
            indexing=self,
            declared={"lang": FieldType.STRING, "author": FieldType.STRING},
            values=UploadValues(files_in_flight=2, max_text_chars=1_000_000),
            observe=lambda outcome, _seconds: self.parsed.append(outcome),
            room=self.room,
        )

    def __post_init__(self) -> None:
        self.job_store = FakeJobStore(keep_answer=self.key_store.keep_answer)

    @property
    def retrieval(self) -> FakeServices:
        return self

    @property
    def indexing(self) -> FakeServices:
        return self

    @property
    def answering(self) -> FakeServices:
        return self

    @property
    def health(self) -> FakeServices:
        return self

    @property
    def documents(self) -> FakeReader:
        return FakeReader(self)

    @property
    def amending(self) -> FakeEditor:
        return FakeEditor(self)

    @property
    def removal(self) -> FakeEditor:
        return FakeEditor(self)

    @property
    def conversations(self) -> FakeConversations:
        return FakeConversations(self)

    @property
    def feedback(self) -> FakeJudge:
        return FakeJudge(self)

    @property
    def jobs(self) -> JobsService:
        return JobsService(
            self.job_store, InlineWorkers(), look_interval_s=0.005, draining=self.draining, room=self.room
        )

    @property
    def keys(self) -> IdempotencyService:
        return IdempotencyService(self.key_store, lease_s=60.0, renew_s=20.0, keep_s=86_400.0)

    async def act(self) -> None:
        self.entered.set()
        if self.hangs:
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if self.error is not None:
            raise self.error

    async def retrieve(self, query: RetrievalQuery) -> Retrieval:
        self.queries.append(query)
        await self.act()
        shares = {Lane.SPARSE: LaneShare(rank=1, score=3.5, contribution=0.4)}
        return Retrieval(
            results=(RetrievedPassage(passage=self.passage, score=0.8, rank=1, lanes=shares),),
            degraded=self.degraded,
            timings_ms={"search": 1.234567},
            coverage={Lane.SPARSE: 1.0},
        )

    async def answer(self, query: ChatQuery) -> Answer:
        self.messages.append(query)
        await self.act()
        citation = Citation(
            n=1,
            chunk_id=PASSAGE.chunk_id,
            document_id=PASSAGE.document_id,
            title=PASSAGE.title,
            start=0,
            end=29,
            score=0.8,
            text=PASSAGE.text,
            page=self.page,
        )
        return Answer(
            answer="Spare keys hang in cabinet B. [1]",
            citations=(citation,),
            grounded=True,
            degraded=self.degraded,
            session_id="s_1",
            message_id="m_1",
            persisted=True,
            finish_reason="stop",
            usage={"total_tokens": 0},
        )

    async def ingest(
        self, tenant: Tenant, documents: Sequence[GivenDocument], *, also: NoteOfOutcomes | None = None
    ) -> list[IngestOutcome]:
        assert tenant
        self.ingested.extend(documents)
        await self.act()
        outcomes = [self.outcome_of(document) if self.outcome_of else _indexed(document) for document in documents]
        if also is not None:
            note = also(outcomes)
            if isinstance(note, KeptAnswer):
                self.key_store.keep_answer(note)
            else:
                self.job_store.write_note(note)
        return outcomes

    async def delete(self, tenant: Tenant, document_id: DocumentId) -> bool:
        assert tenant
        await self.act()
        return self.stored.pop(document_id, None) is not None

    def report(self) -> HealthReport:
        component = ComponentHealth("database", ComponentState.OK, 1.25, 0.5, None, "closed", {})
        ready = self.readiness_answer.ready
        return HealthReport(
            "ok" if ready else "unavailable", ready, (component,), "0.1.0", 3.14159, {"enable_cache": True}
        )

    def readiness(self) -> Readiness:
        return self.readiness_answer

    def alive(self) -> bool:
        return self.ticking


@dataclass(frozen=True)
class FakeReader:
    services: FakeServices

    async def document(self, tenant: Tenant, document_id: DocumentId) -> tuple[DocumentRecord, str]:
        assert tenant
        await self.services.act()
        if document_id not in self.services.stored:
            raise NotFound("there is no such document")
        return RECORD, self.services.stored[document_id]

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> list[Chunk]:
        assert tenant
        await self.services.act()
        if document_id not in self.services.stored:
            raise NotFound("there is no such document")
        text = self.services.stored[document_id]
        return [Chunk(PASSAGE.chunk_id, document_id, 1, 0, text, 0, len(text), "", len(text.split()))]

    async def documents(
        self,
        tenant: Tenant,
        *,
        limit: int,
        cursor: str | None = None,
        domain: str | None = None,
        filters: object | None = None,
    ) -> Page[DocumentRecord]:
        assert tenant
        assert limit
        self.services.filters.append(filters)
        await self.services.act()
        return Page((RECORD,), cursor or domain)


@dataclass(frozen=True)
class FakeEditor:
    """Amends and removes what is stored; remembers what it was asked."""

    services: FakeServices

    async def amend(self, tenant: Tenant, document_id: DocumentId, amendment: Amendment) -> IngestOutcome:
        assert tenant
        self.services.amendments.append(amendment)
        await self.services.act()
        if document_id not in self.services.stored:
            raise NotFound("there is no such document")
        return IngestOutcome(document_id, IngestStatus.REPLACED, 2, 1)

    async def by_ids(self, tenant: Tenant, document_ids: Sequence[DocumentId], *, dry_run: bool) -> int:
        assert tenant
        await self.services.act()
        there = self.services.stored.keys() & set(document_ids)
        for document_id in () if dry_run else there:
            del self.services.stored[document_id]
        return len(there)

    async def by_filter(self, tenant: Tenant, filters: object, *, domain: str | None, dry_run: bool) -> int:
        assert tenant
        self.services.filters.append((filters, domain, dry_run))
        await self.services.act()
        return 7


@dataclass(frozen=True)
class FakeConversations:
    """The real service over a store in memory."""

    services: FakeServices

    async def sessions(
        self, tenant: Tenant, *, user_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Session]:
        return await (await self._service()).sessions(tenant, user_id=user_id, limit=limit, cursor=cursor)

    async def messages(
        self, tenant: Tenant, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Message]:
        return await (await self._service()).messages(tenant, session_id, limit=limit, cursor=cursor)

    async def delete(self, tenant: Tenant, session_id: str) -> None:
        await (await self._service()).delete(tenant, session_id)

    async def created(self, tenant: Tenant, document_ids: Collection[DocumentId]) -> dict[DocumentId, datetime]:
        assert tenant
        return {name: RECORD.created_at for name in document_ids if name in self.services.stored}

    async def _service(self) -> ConversationsService:
        await self.services.act()
        return ConversationsService(self.services.conversation_store, self)


@dataclass(frozen=True)
class FakeJudge:
    """The real service over a store in memory."""

    services: FakeServices

    async def vote(self, tenant: Tenant, *, caller: str, message_id: str, vote: Vote, comment: str) -> Feedback:
        await self.services.act()
        service = FeedbackService(self.services.conversation_store, lambda _: None)
        return await service.vote(tenant, caller=caller, message_id=message_id, vote=vote, comment=comment)


def _indexed(document: GivenDocument) -> IngestOutcome:
    return IngestOutcome(DocumentId(document.id or "d_made"), IngestStatus.INDEXED, version=1, chunks=1)


@dataclass
class Api:
    """A running application, its fakes and a client."""

    app: FastAPI
    services: FakeServices
    metrics: Metrics
    client: httpx.AsyncClient


@asynccontextmanager
async def running_api(
    options: ApiOptions | None = None, *, client: tuple[str, int] = ("127.0.0.1", 1)
) -> AsyncIterator[Api]:
    """The application with its lifespan entered: `httpx.ASGITransport` starts none."""
    services = FakeServices()
    metrics = Metrics(version="test")

    @asynccontextmanager
    async def open_services() -> AsyncIterator[FakeServices]:
        yield services

    app = create_app(open_services, metrics=metrics, options=options)
    transport = httpx.ASGITransport(app, client=client)
    with TemporaryDirectory() as folder:
        services.upload_folder = Path(folder)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as http,
        ):
            yield Api(app, services, metrics, http)
