"""What the routers are given: services by their shapes, and the threads for what would hold up the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from starlette.requests import Request

from advanced_rag.concurrency.async_executor import AsyncExecutor
from advanced_rag.domain.documents import Chunk, DocumentId, Tenant
from advanced_rag.exceptions import Starting
from advanced_rag.ports.commits import KeptAnswer
from advanced_rag.ports.conversations import Feedback, Message, Session, Vote
from advanced_rag.ports.documents import DocumentRecord, Page
from advanced_rag.ports.idempotency import KeyClaim, KeyedRequest
from advanced_rag.ports.jobs import Job
from advanced_rag.ports.storage import StorageRoom
from advanced_rag.services.amending import Amendment
from advanced_rag.services.answering import Answer, ChatQuery
from advanced_rag.services.health import HealthReport, Readiness
from advanced_rag.services.indexing import NoteOfOutcomes
from advanced_rag.services.ingest_outcome import IngestOutcome
from advanced_rag.services.job_items import JobItem
from advanced_rag.services.preparation import GivenDocument
from advanced_rag.services.retrieval_query import Retrieval, RetrievalQuery
from advanced_rag.services.uploads import Upload


class Retrieving(Protocol):
    """Answers queries with passages."""

    async def retrieve(self, query: RetrievalQuery) -> Retrieval:
        """Raises ValidationError for a filter or mode that cannot be, RetrievalError where no lane answers."""
        ...


class Indexing(Protocol):
    """Takes documents in, and out."""

    async def ingest(
        self, tenant: Tenant, documents: Sequence[GivenDocument], *, also: NoteOfOutcomes | None = None
    ) -> list[IngestOutcome]:
        """One outcome a document, in order; `also` is committed with the last of them."""
        ...

    async def delete(self, tenant: Tenant, document_id: DocumentId) -> bool:
        """False where there is no such document."""
        ...


class Uploading(Protocol):
    """Takes files in."""

    @property
    def folder(self) -> Path:
        """Where files are put, each upload in a folder of its own, as long as they are worked on."""
        ...

    @property
    def room(self) -> StorageRoom:
        """Whether there is any for them; to be asked first."""
        ...

    async def ingest(self, tenant: Tenant, upload: Upload) -> list[IngestOutcome]:
        """One outcome a file, in order."""
        ...


class Reading(Protocol):
    """Shows documents as they stand."""

    async def document(self, tenant: Tenant, document_id: DocumentId) -> tuple[DocumentRecord, str]:
        """The record and the whole text. Raises NotFound."""
        ...

    async def chunks(self, tenant: Tenant, document_id: DocumentId) -> list[Chunk]:
        """Its pieces in order. Raises NotFound."""
        ...

    async def documents(
        self,
        tenant: Tenant,
        *,
        limit: int,
        cursor: str | None = None,
        domain: str | None = None,
        filters: object | None = None,
    ) -> Page[DocumentRecord]:
        """A page of them by id."""
        ...


class Amending(Protocol):
    """Changes what is said of documents."""

    async def amend(self, tenant: Tenant, document_id: DocumentId, amendment: Amendment) -> IngestOutcome:
        """Raises NotFound, ValidationError; Conflict where others kept on changing it."""
        ...


class Removing(Protocol):
    """Deletes many documents at once."""

    async def by_ids(self, tenant: Tenant, document_ids: Sequence[DocumentId], *, dry_run: bool) -> int:
        """How many there were."""
        ...

    async def by_filter(self, tenant: Tenant, filters: object, *, domain: str | None, dry_run: bool) -> int:
        """How many matched. Raises ValidationError for a filter that admits everything."""
        ...


class Answering(Protocol):
    """Answers messages with citations."""

    async def answer(self, query: ChatQuery) -> Answer:
        """Raises NotFound for a session that is not the tenant's."""
        ...


class Conversing(Protocol):
    """Shows conversations, and ends them."""

    async def sessions(
        self, tenant: Tenant, *, user_id: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[Session]:
        """A page of them, newest activity first."""
        ...

    async def messages(
        self, tenant: Tenant, session_id: str, *, limit: int, cursor: str | None = None
    ) -> Page[Message]:
        """A page of one's messages, oldest first; citations say whether their document is gone. Raises NotFound."""
        ...

    async def delete(self, tenant: Tenant, session_id: str) -> None:
        """Raises NotFound."""
        ...


class Judging(Protocol):
    """Takes votes."""

    async def vote(self, tenant: Tenant, *, caller: str, message_id: str, vote: Vote, comment: str) -> Feedback:
        """Store or change the caller's vote. Raises NotFound."""
        ...


class Queueing(Protocol):
    """Takes documents in later, and says how far that has got. All but `enqueue` raise NotFound."""

    async def enqueue(
        self, tenant: Tenant, job_id: str, items: Sequence[JobItem], *, answer: KeptAnswer | None = None
    ) -> Job:
        """Once this returns the job is stored with its whole input, and the answer under its key with it."""
        ...

    async def job(self, tenant: Tenant, job_id: str) -> Job:
        """One job with its results."""
        ...

    async def jobs(self, tenant: Tenant, *, limit: int, cursor: str | None = None) -> Page[Job]:
        """A page of them, newest first, without results."""
        ...

    async def cancel(self, tenant: Tenant, job_id: str) -> Job:
        """Begin nothing more of it. Raises Conflict where it has ended."""
        ...

    def watch(self, tenant: Tenant, job_id: str) -> AsyncIterator[Job]:
        """The job at every look, until its end or that of this process."""
        ...

    async def ended(self, tenant: Tenant, job_id: str, *, limit_s: float) -> Job | None:
        """The job if it ends within that time."""
        ...


class Once(Protocol):
    """Executes a request with a key once."""

    async def once(
        self, request: KeyedRequest, execute: Callable[[KeyClaim], Awaitable[KeptAnswer]]
    ) -> tuple[KeptAnswer, bool]:
        """The answer, and whether it is an earlier request's. Raises KeyInProgress, KeyMismatch."""
        ...


class Health(Protocol):
    """Says how things were at the last look; asks nobody."""

    def report(self) -> HealthReport:
        """Every component."""
        ...

    def readiness(self) -> Readiness:
        """Whether this process should be sent requests."""
        ...

    def alive(self) -> bool:
        """Whether the event loop ticks."""
        ...


class ApiServices(Protocol):
    """Everything that the routers call."""

    @property
    def retrieval(self) -> Retrieving:
        """Behind `/v1/retrieve`."""
        ...

    @property
    def indexing(self) -> Indexing:
        """Behind `/v1/ingest` and deletes."""
        ...

    @property
    def uploads(self) -> Uploading:
        """Behind `/v1/ingest/files`."""
        ...

    @property
    def jobs(self) -> Queueing:
        """Behind `/v1/jobs`, and `/v1/ingest` that need not be answered at once."""
        ...

    @property
    def keys(self) -> Once:
        """Behind `Idempotency-Key`."""
        ...

    @property
    def documents(self) -> Reading:
        """Behind `/v1/documents`."""
        ...

    @property
    def amending(self) -> Amending:
        """Behind `PATCH /v1/documents`."""
        ...

    @property
    def removal(self) -> Removing:
        """Behind `/v1/documents/delete`."""
        ...

    @property
    def answering(self) -> Answering:
        """Behind `/v1/chat`."""
        ...

    @property
    def conversations(self) -> Conversing:
        """Behind `/v1/chat/sessions`."""
        ...

    @property
    def feedback(self) -> Judging:
        """Behind `/v1/feedback`."""
        ...

    @property
    def health(self) -> Health:
        """Behind `/healthz`."""
        ...


@dataclass(frozen=True, slots=True)
class ApiState:
    """What the lifespan puts on the application."""

    services: ApiServices
    executor: AsyncExecutor


def state_of(request: Request) -> ApiState:
    """The state of the application that serves a request. Raises Starting before its lifespan has begun."""
    state = getattr(request.app.state, "api", None)
    if not isinstance(state, ApiState):
        raise Starting("this process has not finished starting", retry_after_s=None)
    return state
